#include <string.h>

#include <atomic>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/system/system_error.hpp>
#include <functional>
#include <list>
#include <remora/io/condition.hpp>
#include <remora/io/deadline.hpp>
#include <remora/io/run_on.hpp>
#include <remora/process/host.hpp>
#include <utility>

#include "process/attempt.hpp"
#include "process/launch.hpp"
#include "process/limits.hpp"

namespace remora::process {

namespace asio = boost::asio;

namespace {

class shim_child final : public child {
 public:
  explicit shim_child(std::shared_ptr<attempt> of) : attempt_(std::move(of)) {}
  ~shim_child() override { attempt_->abandon(); }
  shim_child(const shim_child&) = delete;
  shim_child& operator=(const shim_child&) = delete;

  const identity& who() const noexcept override { return attempt_->who(); }
  void freeze() override { attempt_->command("freeze"); }
  void thaw() override { attempt_->command("thaw"); }
  void signal(int signal) override {
    const char* name = ::sigabbrev_np(signal);
    attempt_->command("signal " + (name ? std::string(name) : std::to_string(signal)));
  }
  void kill() override { attempt_->command("kill"); }
  void write_stdin(std::string bytes) override { attempt_->write_stdin(std::move(bytes)); }
  void close_stdin() override { attempt_->close_stdin(); }
  asio::awaitable<child_event> next() override { return attempt_->next(); }
  bool limited() const noexcept override { return attempt_->limited(); }
  result<child_use> use() override { return attempt_->use(); }

 private:
  std::shared_ptr<attempt> attempt_;
};

class machine_host final : public host {
 public:
  machine_host(asio::any_io_executor executor, std::filesystem::path shim, host_options options)
      : state_(std::make_shared<state>(std::move(executor), std::move(shim), options)) {
    state_->orphans = std::make_shared<orphanage>(state_->executor, watch_orphans(state_));
  }

  asio::awaitable<result<std::unique_ptr<child>>> start(spawn_spec spec) override {
    if (spec.argv.empty()) co_return fail(errc::usage, "an agent needs a program to run");
    limit_places::plan limits = limits_of(spec);
    const auto unwanted = std::make_shared<std::atomic<bool>>(false);
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    asio::cancellation_slot cancelled = cancellation.slot();
    if (cancelled.is_connected())
      cancelled.assign([unwanted](asio::cancellation_type) { *unwanted = true; });
    const result<std::shared_ptr<attempt>> begun =
        co_await begin(state_, launches_, spec, std::move(limits), unwanted);
    if (cancelled.is_connected()) cancelled.clear();
    // Nobody is to hear of it: who asked may be at the next one.
    if (*unwanted && !begun)
      throw boost::system::system_error(asio::error::operation_aborted, "cancelled");
    if (!begun) co_return begun.error();
    // From here on a cancellation ends it.
    std::unique_ptr<child> handle = std::make_unique<shim_child>(*begun);
    const result<void> started = co_await (*begun)->started();
    if (!started) co_return started.error();
    co_return handle;
  }

  std::vector<std::string> unenforceable(const tree_limits& wanted) override {
    if (wanted.memory_bytes == 0 && wanted.processes == 0) return {};
    if (!state_->options.use_cgroups)
      return {"limits are not enforced: no control groups are used"};
    return places().missing(wanted);
  }

  asio::awaitable<void> join() override {
    while (state_->launching > 0 || !state_->attempts.empty()) co_await state_->idle.wait();
  }

 private:
  struct state {
    state(asio::any_io_executor e, std::filesystem::path s, host_options o)
        : executor(e), shim(std::move(s)), options(o), idle(e), last_wait(std::move(e), [this] {
            orphans->let_go();
          }) {}
    asio::any_io_executor executor;
    std::filesystem::path shim;
    host_options options;
    std::shared_ptr<orphanage> orphans;
    std::list<std::shared_ptr<attempt>> attempts;
    int launching = 0;  // starts of which no attempt has come yet
    io::condition idle;
    io::deadline last_wait;  // for orphans of those that were abandoned, which nobody else asks for

    void forget(const attempt* gone) {
      std::erase_if(attempts, [&](const auto& a) { return a.get() == gone; });
      if (!attempts.empty()) return;
      idle.notify();
      if (!orphans->empty()) last_wait.set(std::chrono::steady_clock::now() + longest_end);
    }
    void tell_of_orphans() {
      for (const std::shared_ptr<attempt>& one : attempts) one->settle();
      if (orphans->empty()) last_wait.set(std::nullopt);
    }
  };

  static orphanage::callbacks watch_orphans(const std::weak_ptr<state>& weak) {
    return {[weak](int pid, exit_status status) {
              const std::shared_ptr<state> self = weak.lock();
              if (!self) return;
              for (const auto& one : self->attempts) one->on_orphan_reaped(pid, status);
            },
            [weak] {
              if (const std::shared_ptr<state> self = weak.lock()) self->tell_of_orphans();
            }};
  }

  const limit_places& places() {
    if (!places_) places_.emplace(true);
    return *places_;
  }

  /// Of no limits, none.
  limit_places::plan limits_of(const spawn_spec& spec) {
    const bool any = spec.limits.memory_bytes > 0 || spec.limits.processes > 0;
    if (!any || !state_->options.use_cgroups || spec.name.empty()) return {};
    return places().for_tree(spec.limits, spec.name);
  }

  /// One of those that are launching.
  class launching {
   public:
    explicit launching(state& of) : of_(of) { ++of_.launching; }
    launching(const launching&) = delete;
    launching& operator=(const launching&) = delete;
    ~launching() {
      --of_.launching;
      of_.idle.notify();
    }

   private:
    state& of_;
  };

  /// Is not cancelled: what was launched has an attempt that ends it. `unwanted`: nothing is
  /// launched any more. The host may be gone when
  /// this goes on.
  static asio::awaitable<result<std::shared_ptr<attempt>>> begin(
      std::shared_ptr<state> self, asio::thread_pool& launches, const spawn_spec& spec,
      limit_places::plan limits, std::shared_ptr<std::atomic<bool>> unwanted) {
    const launching one(*self);
    auto made =
        co_await io::run_on(launches, launch_attempt, self->executor, std::cref(self->shim),
                            std::cref(spec), self->options, std::move(limits), std::move(unwanted));
    if (!made) co_return made.error();
    self->last_wait.set(std::nullopt);  // there is somebody again who asks for orphans
    // Later and not at once: it is called from inside the attempt.
    auto gone = [weak = std::weak_ptr(self)](attempt& done) {
      if (const auto here = weak.lock())
        asio::post(here->executor, [here, who = &done] { here->forget(who); });
    };
    co_return self->attempts.emplace_back(std::make_shared<attempt>(
        self->executor, spec, std::move(*made), self->orphans, std::move(gone)));
  }

  std::shared_ptr<state> state_;
  std::optional<limit_places> places_;  // looked up when the first limit is wanted
  /// One thread: a shim's start takes a fraction of a millisecond, and nothing else is done here.
  asio::thread_pool launches_{1};
};

}  // namespace

std::unique_ptr<host> make_host(asio::any_io_executor executor, std::filesystem::path shim,
                                host_options options) {
  return std::make_unique<machine_host>(std::move(executor), std::move(shim), options);
}

}  // namespace remora::process

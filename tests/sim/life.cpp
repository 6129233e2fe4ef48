#include "sim/life.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "sim/checker.hpp"

namespace remora::sim {
namespace {

namespace asio = boost::asio;

class virtual_timer final : public io::timer {
 public:
  virtual_timer(world& w, const life& owner) : w_(w), owner_(owner) {}
  ~virtual_timer() override { cancel(); }
  void set(time_point at, std::function<void()> expired) override {
    cancel();
    set_ = w_.time.at(at, &owner_, std::move(expired));
  }
  void cancel() override {
    if (set_) w_.time.cancel(*set_);
    set_.reset();
  }

 private:
  world& w_;
  const life& owner_;
  std::optional<timeline::key> set_;
};

/// Commits between two steps of the loop, when the seed says.
class virtual_committer final : public run::committer {
 public:
  virtual_committer(world& w, const life& owner) : w_(w), owner_(owner) {}
  void start(std::function<void()> commit) override { commit_ = std::move(commit); }
  void wake() override {
    if (due_) return;
    due_ = w_.time.after(w_.disk_time() / 4, &owner_, [this] {
      due_.reset();
      commit_();
    });
  }
  void stop() override {
    if (!due_) return;
    w_.time.cancel(*due_);
    if (!owner_.crashed()) commit_();
  }

 private:
  world& w_;
  const life& owner_;
  std::function<void()> commit_;
  std::optional<timeline::key> due_;
};

struct resume_after {
  template <class Handler>
  void operator()(Handler&& handler, world* w, const life* owner, asio::any_io_executor loop,
                  duration d) const {
    // The event owns the coroutine: forgotten events destroy it.
    auto held = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
    w->time.after(d, owner, [loop, held] { asio::post(loop, std::move(*held)); });
  }
};

}  // namespace

std::unique_ptr<io::timer> virtual_timers::make() {
  return std::make_unique<virtual_timer>(w_, owner_);
}

std::optional<run::shared_pauses::all> virtual_pauses::read() {
  if (!w_.goes_wrong(w_.odds.fault)) return w_.pauses;
  w_.check->excuse_account();
  return {};
}

result<void> virtual_pauses::set(const std::string& account, const supervise::pause& p) {
  if (!w_.goes_wrong(w_.odds.fault)) {
    w_.pauses[account] = p;
    return {};
  }
  w_.check->excuse_account();
  return os_error(EIO, "pause");
}

life::life(world& w) : w_(w), timers_(w, *this), host_(w, *this), store_(w, *this), pauses_(w) {
  run::seams on{w.time,
                timers_,
                host_,
                store_,
                [this] { return std::make_unique<virtual_committer>(w_, *this); },
                w.boot,
                pauses_};
  engine_.emplace(loop_.get_executor(), std::move(on), [this](const run::record& r) {
    w_.check->told(r, this);
    if (w_.observe) w_.observe(r);
  });
}

life::~life() {
  crashed_ = !ended_;
  loop_.stop();  // nothing of it runs any more
  w_.time.forget(this);
  engine_.reset();
}

void life::run() {
  start(true);
}

void life::resume() {
  start(false);
}

void life::start(bool anew) {
  asio::co_spawn(loop_, drive(anew), [this](std::exception_ptr e) {
    failed_ = e;
    ended_ = true;
  });
}

asio::awaitable<void> life::drive(bool anew) {
  if (anew) {
    run::new_run what = w_.what;
    outcome_.emplace(co_await engine_->run(std::move(what)));
  } else {
    outcome_.emplace(co_await engine_->resume(w_.what.id));
  }
}

bool life::step() {
  if (stopped) return false;
  if (loop_.stopped()) loop_.restart();
  return loop_.poll_one() > 0;
}

asio::awaitable<void> life::pass(duration d) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      resume_after{}, asio::use_awaitable, &w_, this, executor(), d);
}

}  // namespace remora::sim

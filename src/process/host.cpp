#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/process/v2/environment.hpp>
#include <cassert>
#include <cerrno>
#include <list>
#include <remora/core/text.hpp>
#include <remora/io/deadline.hpp>
#include <remora/process/host.hpp>
#include <utility>

#include "process/attempt.hpp"
#include "process/descriptor_limit.hpp"
#include "process/launcher.hpp"
#include "process/limits.hpp"
#include "process/proc.hpp"
#include "process/shim_protocol.hpp"

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

/// The shim's ends of what `attempt_ends` holds ours of.
struct shim_ends {
  unique_fd stdin_read;
  unique_fd out_write;
  unique_fd err_write;
  unique_fd control;
  unique_fd lock;
  unique_fd directory;
};

result<void> make_pipe(unique_fd& read, unique_fd& write) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return os_error(errno, "cannot make a pipe");
  read.reset(fds[0]);
  write.reset(fds[1]);
  return {};
}

result<void> make_channels(attempt_ends& ours, shim_ends& theirs) {
  REMORA_CHECK(make_pipe(theirs.stdin_read, ours.stdin_write));
  REMORA_CHECK(make_pipe(ours.out_read, theirs.out_write));
  REMORA_CHECK(make_pipe(ours.err_read, theirs.err_write));
  // Of our ends only: a pipe's other end has flags of its own.
  for (const int fd : {ours.stdin_write.get(), ours.out_read.get(), ours.err_read.get()})
    if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
      return os_error(errno, "cannot make a pipe non-blocking");
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return os_error(errno, "cannot make a socket pair");
  ours.control.reset(fds[0]);
  theirs.control.reset(fds[1]);
  return {};
}

result<void> make_attempt_files(const std::filesystem::path& dir, attempt_ends& ours,
                                shim_ends& theirs) {
  REMORA_CHECK(make_directories(dir, 0700));
  REMORA_TRY(theirs.directory, open_file(dir, O_RDONLY | O_DIRECTORY));
  REMORA_TRY(theirs.lock, open_at(theirs.directory.get(), "lock", O_RDWR | O_CREAT));
  // Taken here and inherited: it belongs to the open file, so there is no moment at which the shim
  // lives and the lock is free.
  if (::flock(theirs.lock.get(), LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK
               ? fail(errc::held, fmt::format("an agent still lives in {}", to_utf8(dir.string())))
               : os_error(errno, fmt::format("cannot lock {}/lock", to_utf8(dir.string())));
  // The name of an earlier life goes: who finds the lock held waits for this one.
  if (::ftruncate(theirs.lock.get(), 0) != 0)
    return os_error(errno, fmt::format("cannot empty {}/lock", to_utf8(dir.string())));
  constexpr int append = O_WRONLY | O_APPEND | O_CREAT;
  REMORA_TRY(ours.out_file, open_at(theirs.directory.get(), "out", append));
  REMORA_TRY(ours.err_file, open_at(theirs.directory.get(), "err", append));
  return {};
}

/// Not every file system knows sockets: an agent does its work without one.
void make_socket(const spawn_spec& spec, attempt_ends& ours) {
  if (spec.socket.empty()) return;
  auto listening = listen_for_requests(spec.socket);
  if (listening)
    ours.requests = std::move(*listening);
  else
    ours.unheard = listening.error().what;
}

std::filesystem::path leaf_of(const spawn_spec& spec, const host_options& options) {
  if (!options.use_cgroups || spec.name.empty() || own_cgroup().empty()) return {};
  return own_cgroup() / group_name(spec.name);
}

std::vector<std::string> shim_arguments(const spawn_spec& spec, const std::filesystem::path& leaf,
                                        const std::string& limits) {
  std::vector<std::string> arguments{spec.name, spec.cwd.string(),
                                     leaf.empty() ? "-" : leaf.string(),
                                     std::to_string(inherited_descriptor_limit()), limits};
  arguments.insert(arguments.end(), spec.argv.begin(), spec.argv.end());
  return arguments;
}

std::vector<std::string> environment_lines(const spawn_spec& spec, bool may_ask) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : spec.environment)
    if (name != socket_variable) lines.push_back(name + "=" + value);
  if (may_ask) lines.push_back(fmt::format("{}={}", socket_variable, spec.socket.string()));
  return lines;
}

result<launched> launch_shim(const std::filesystem::path& program, const spawn_spec& spec,
                             const std::filesystem::path& leaf, const std::string& limits,
                             const attempt_ends& ours, const shim_ends& theirs) {
  if (::access(program.c_str(), X_OK) != 0)
    return fail(errc::environment,
                fmt::format("cannot execute the shim {}: install remora-shim beside remora or set "
                            "REMORA_SHIM",
                            to_utf8(program.string())));
  const std::vector<std::string> lines = environment_lines(spec, static_cast<bool>(ours.requests));
  boost::process::v2::process_environment environment(lines);
  // In the order of shim_protocol.hpp.
  bind_descriptors descriptors{{theirs.stdin_read.get(), theirs.out_write.get(),
                                theirs.err_write.get(), theirs.control.get(), ours.out_read.get(),
                                ours.err_read.get(), theirs.lock.get(), theirs.directory.get()}};
  session_launcher launch;
  boost::system::error_code failed;
  launched shim = launch(failed, program.string(), shim_arguments(spec, leaf, limits), environment,
                         descriptors);
  // E2BIG above all: what is too long for the shim is for the agent.
  if (failed)
    return os_error(failed.value(), fmt::format("cannot start {}", to_utf8(spec.argv.front())));
  return shim;
}

class machine_host final : public host {
 public:
  machine_host(asio::any_io_executor executor, std::filesystem::path shim, host_options options)
      : state_(std::make_shared<state>(std::move(executor), std::move(shim), options)) {
    state_->orphans = std::make_shared<orphanage>(state_->executor, watch_orphans(state_));
  }

  asio::awaitable<result<std::unique_ptr<child>>> start(spawn_spec spec) override {
    const auto begun = begin(spec);
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
    while (!state_->attempts.empty()) co_await state_->idle.wait();
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

  result<std::shared_ptr<attempt>> begin(const spawn_spec& spec) {
    if (spec.argv.empty()) return fail(errc::usage, "an agent needs a program to run");
    state_->last_wait.set(std::nullopt);  // there is somebody again who asks for orphans
    attempt_ends ours;
    shim_ends theirs;
    if (auto made = make_attempt_files(spec.attempt_dir, ours, theirs); !made)
      return made.error().is(errc::held) ? made.error()
                                         : fail(errc::environment, made.error().what);
    REMORA_CHECK(make_channels(ours, theirs));
    make_socket(spec, ours);
    const std::filesystem::path leaf = leaf_of(spec, state_->options);
    limit_places::plan limits = limits_of(spec);
    REMORA_TRY(launched shim, launch_shim(state_->shim, spec, leaf, limits.lines, ours, theirs));
    if (!leaf.empty()) limits.groups.push_back(leaf);
    // Later and not at once: it is called from inside the attempt.
    auto gone = [weak = std::weak_ptr(state_)](attempt& done) {
      if (const auto self = weak.lock())
        asio::post(self->executor, [self, one = &done] { self->forget(one); });
    };
    return state_->attempts.emplace_back(
        std::make_shared<attempt>(state_->executor, spec, std::move(shim), std::move(ours), leaf,
                                  std::move(limits.groups), state_->orphans, std::move(gone)));
  }

  std::shared_ptr<state> state_;
  std::optional<limit_places> places_;  // looked up when the first limit is wanted
};

}  // namespace

std::unique_ptr<host> make_host(asio::any_io_executor executor, std::filesystem::path shim,
                                host_options options) {
  return std::make_unique<machine_host>(std::move(executor), std::move(shim), options);
}

}  // namespace remora::process

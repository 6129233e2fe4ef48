#include "process/orphans.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ranges>
#include <set>
#include <utility>

#include "process/proc.hpp"

namespace remora::process {

namespace {

struct shim_registry {
  std::timed_mutex
      birth;  // taken first, and held while a shim is started or orphans are looked for
  std::mutex mutex;
  std::set<int> pids;
};

shim_registry& shims() {
  static shim_registry registry;
  return registry;
}

bool is_shim(int pid) {
  const std::lock_guard lock(shims().mutex);
  return shims().pids.contains(pid);
}

/// Passes of one call. What a chain that outruns them has left is watched: its death is the next.
/// An exec takes a millisecond; one from a file system that does not answer never returns.
constexpr std::chrono::milliseconds longest_birth{50};

constexpr int most_passes = 100;

}  // namespace

shim_birth::shim_birth() : lock_(shims().birth) {}

void shim_birth::register_shim(int pid) const {
  const std::lock_guard lock(shims().mutex);
  shims().pids.insert(pid);
}

void forget_shim(int pid) {
  const std::lock_guard lock(shims().mutex);
  shims().pids.erase(pid);
}

exit_status to_exit_status(int code, int status) {
  return code == CLD_EXITED ? exit_status::exited(status) : exit_status::killed(status);
}

orphanage::orphanage(boost::asio::any_io_executor executor, callbacks call)
    : executor_(std::move(executor)), call_(std::move(call)) {}

void orphanage::end_all() {
  int pass = 0;
  while (kill_new(pass < most_passes)) ++pass;
}

std::vector<int> orphanage::find_new() {
  const std::unique_lock no_births(shims().birth, longest_birth);
  const auto children =
      no_births ? children_of(::getpid()) : result<std::vector<int>>(os_error(EBUSY, "a start"));
  blind_ = !children;
  if (blind_) return {};
  std::vector<int> found;
  const int ours = ::getsid(0);
  for (const int pid : *children | std::views::reverse) {
    // Of another session: a child that nobody but us reaps, so nobody else has its pid.
    if (const pid_t session = ::getsid(pid); session < 0 || session == ours) continue;
    if (!is_shim(pid) && !dying_.contains(pid)) found.push_back(pid);
  }
  return found;
}

/// Where each process starts the next one and ends, only killing the newest before it starts
/// another ends the chain: the newest is last in the list, and what is dead is reaped at once, or
/// the list grows with the chain and the newest is met too late for ever.
bool orphanage::kill_new(bool reaps) {
  const std::vector<int> found = find_new();
  for (const int pid : found) {
    ::kill(pid, SIGKILL);
    if (!reaps || !reap(pid)) watch(pid);
  }
  return !found.empty() && reaps;
}

bool orphanage::reap(int pid) {
  siginfo_t info{};
  const int failed = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
  if (failed == 0 && info.si_pid == 0) return false;
  if (failed == 0) call_.reaped(pid, to_exit_status(info.si_code, info.si_status));
  return true;
}

void orphanage::watch(int pid) {
  unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {  // out of descriptors: the next pass looks again
    blind_ = true;
    return;
  }
  watched_fd& watched = dying_[pid] = watched_fd(executor_, std::move(pidfd));
  watched.when_readable([this, pid] { on_death(pid); });
}

void orphanage::on_death(int pid) {
  dying_.erase(pid);
  reap(pid);
  end_all();  // its children are ours now
  call_.changed();
}

}  // namespace remora::process

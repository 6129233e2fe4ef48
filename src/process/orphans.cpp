#include "process/orphans.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "process/proc.hpp"

namespace remora::process {

namespace {

struct shim_registry {
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

std::vector<int> find_orphans() {
  std::vector<int> found;
  const int ours = ::getsid(0);
  for (const int pid : children_of(::getpid())) {
    if (is_shim(pid)) continue;
    const auto stat = read_stat(pid);  // a child that we have not reaped: its pid is its own
    if (stat && stat->session != ours) found.push_back(pid);
  }
  return found;
}

}  // namespace

void register_shim(int pid) {
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
  for (const int pid : find_orphans()) {
    if (dying_.contains(pid)) continue;
    ::kill(pid, SIGKILL);  // a child that we have not reaped: nobody else has its pid
    watch(pid);
  }
}

void orphanage::watch(int pid) {
  unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return;  // out of descriptors: the next pass looks again
  watched_fd& watched = dying_[pid] = watched_fd(executor_, std::move(pidfd));
  watched.when_readable([this, pid] { on_death(pid); });
}

void orphanage::on_death(int pid) {
  siginfo_t info{};
  const bool reaped = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) == 0;
  dying_.erase(pid);
  if (reaped && info.si_pid == pid) call_.reaped(pid, to_exit_status(info.si_code, info.si_status));
  end_all();  // its children are ours now
  call_.changed();
}

}  // namespace remora::process

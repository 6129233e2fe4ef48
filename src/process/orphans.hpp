// What a shim that died leaves behind falls to this process, a subreaper. An orphan is a child of
// ours that is no shim and lives in another session than ours: nobody can enter a session, every
// agent is started in one of its own. Only after a shim's death is anybody looked for: a child that
// another room started in a session of its own would be taken for an orphan then.
// Thread: the loop's.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <remora/core/exit_status.hpp>
#include <vector>

#include "process/watched_fd.hpp"

namespace remora::process {

constexpr std::chrono::seconds longest_end{5};  ///< of who was sent KILL, by us or by its shim

/// The start of a shim, on whatever thread: while it lasts nobody is looked for, since who is not
/// registered yet would be taken for an orphan, and who failed to exec is reaped by another thread.
class shim_birth {
 public:
  shim_birth();
  void register_shim(int pid) const;  ///< known to all hosts of this process from now on

 private:
  std::unique_lock<std::timed_mutex> lock_;
};
/// Before it is reaped: its pid may be another shim's at once.
void forget_shim(int pid);

class orphanage {
 public:
  struct callbacks {
    std::function<void(int pid, exit_status)> reaped;
    std::function<void()> changed;  ///< after each of them
  };
  orphanage(boost::asio::any_io_executor executor, callbacks call);

  /// Kills the orphans that are there, and those that appear as they die, until none is left. Where
  /// it is blind afterwards, call it again: so it is, too, while a start does not come to its end.
  void end_all();
  /// Of those that do not die. Whoever asks next is told of them anew.
  void let_go() { dying_.clear(); }
  /// Those that were killed and are not yet dead.
  bool empty() const noexcept { return dying_.empty(); }
  /// The last look failed, as without descriptors: there may be orphans that are not seen to die.
  bool blind() const noexcept { return blind_; }

 private:
  /// The newest first, without those that are being killed. Nothing where it was blind.
  std::vector<int> find_new();
  /// Kills those that are not being killed yet. True: look again. `reaps`: the dead at once.
  bool kill_new(bool reaps);
  bool reap(int pid);
  void watch(int pid);
  void on_death(int pid);

  boost::asio::any_io_executor executor_;
  callbacks call_;
  std::map<int, watched_fd> dying_;  // by pid: a pidfd
  bool blind_ = false;
};

/// `si_code` and `si_status`, as waitid gives them.
exit_status to_exit_status(int code, int status);

}  // namespace remora::process

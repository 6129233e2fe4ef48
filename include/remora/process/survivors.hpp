// Processes that an earlier orchestrator started, or is: known again by pid, start time and boot,
// looked at and signalled through a pidfd, so that a number that was used again, or is from before
// a reboot, is nobody of ours (P8, X6). Who cannot be looked at, as without descriptors or memory
// (EMFILE, ENFILE, ENOMEM), may live: that is an error, and never nobody; another user's process is
// none of ours. Blocking, short. Thread: any.
#pragma once

#include <chrono>
#include <optional>
#include <remora/process/host.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::process {

/// Of this process.
identity own_identity();

enum class life { gone, stopped, running, unknown };
/// `stopped`: by SIGSTOP or its like. `gone` also where that pid is somebody else by now.
/// `unknown`: it could not be looked at.
life life_of(const identity& who);

/// Sends `signal` to that very process. False: it is gone. Errors: errno, also where it could not
/// be looked at.
result<bool> signal_survivor(const identity& who, int signal);

/// Waits for its end, at most so long. False: it lives still, or could not be looked at.
bool await_end(const identity& who, std::chrono::milliseconds at_most);

/// The shim that lives in an attempt directory, as it wrote itself down; nothing where none does.
/// Errors: errno; errc::corrupt where one does and its lock says nothing.
result<std::optional<identity>> shim_in(const std::filesystem::path& attempt_dir);

/// Tells the shim of an attempt that nobody directs it any more: it ends its agent's tree as after
/// the death of its orchestrator. True: it lives still; ask again. Harmless when repeated.
result<bool> give_up_attempt(const std::filesystem::path& attempt_dir);

/// Sends SIGKILL to what outlived the shim of an attempt, if that was killed before its tree was
/// empty: to all whose environment has every one of `settings`, `NAME=value`. True: there were
/// some; ask again. Cost: a look at every process, where the shim was killed; else none. Processes
/// of other users are passed over. Errors: errno (EMFILE, ENFILE, ENOMEM, EIO, …: some may live).
result<bool> end_strays(const std::filesystem::path& attempt_dir,
                        const std::vector<std::string>& settings);

/// A shim that runs now, found by its command line: its attempt directory may be gone.
struct running_shim {
  identity who;
  std::string name;  ///< `<run>.<task>.<attempt>`
  int parent = 0;    ///< its orchestrator, or whoever adopted it
};
/// Those whose name begins with `prefix`; of other users, none that they hide. Errors: errno
/// (EMFILE, ENFILE, ENOMEM, EIO, …: some may live).
result<std::vector<running_shim>> find_shims(std::string_view prefix);

}  // namespace remora::process

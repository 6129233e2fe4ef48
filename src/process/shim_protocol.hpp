// What remora and remora-shim agree on. No library: the shim has the C library only.
//
// In the attempt's `lock`, before the agent is started: `PID START BOOT` of the shim, and ` ended`
// after it once the tree is empty (`unknown` where it cannot see who it is). Whoever takes a run
// from an orchestrator that is stopped, and so does not die, finds the shim by it and sends
// `give_up_signal`: the shim then acts as after its orchestrator's death.
//
// The shim is started as `remora-shim NAME CWD CGROUP NOFILE LIMITS PROGRAM [ARG…]`, its
// environment and descriptors 0 1 2 being the agent's. CGROUP is the leaf to make, or `-`; NOFILE
// the soft limit of descriptors that the agent gets. LIMITS has a line for each file of a cgroup to
// write, `VALUE PATH`, before it `?` where the file need not be there: its directory is CGROUP, or
// is made, and the agent put into it. Control, one text datagram each:
//
//   to it    freeze | thaw | signal NAME | kill | end
//   from it  started PID START CONTAINED LIMITED
//                                          (START: field 22 of /proc/PID/stat; CONTAINED: the agent
//                                           is in CGROUP, LIMITED: under all LIMITS; 0 or 1)
//            exec_failed ERRNO STEP        (instead; STEP: lock, fork, chdir or exec)
//            frozen MS WHOLE               (WHOLE 0: not within the bound, thawed again)
//            thawed
//            ok                            (answers signal, kill and end)
//            exited code N | exited signal N | exited signal 9 oom
//                                          (oom: by the kernel, for want of memory)
//            empty KILLED REFUSED          (the last one. KILLED: processes of the tree that the
//                                           kernel ended for want of memory; REFUSED: how often it
//                                           refused one more; where it tells)
#pragma once

#include <signal.h>

namespace remora::process::shim {

constexpr int control_fd = 3;  // SOCK_SEQPACKET
constexpr int out_fd = 4;      // read ends of the agent's stdout and stderr: as long as these are
constexpr int err_fd = 5;      // open, the orchestrator's death is no SIGPIPE for the agent
constexpr int lock_fd = 6;     // holds the lock of the attempt; the shim writes itself down in it
constexpr int dir_fd = 7;      // the attempt's directory
constexpr int first_free_fd = 8;

constexpr int freeze_bound_ms = 500;
constexpr int term_grace_ms = 2000;  // after the orchestrator's death: TERM, this long, KILL
constexpr int message_bytes = 128;   // the longest datagram
constexpr int give_up_signal = SIGUSR1;
constexpr char ended_mark[] = "ended";  // the fourth word of the lock

}  // namespace remora::process::shim

// The parts of remora-shim: a small static program that stands between remora and one agent, ends
// the agent's whole process tree when told or when remora dies, and says when nobody is left.
// The C library only; one thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace shim {

std::int64_t now_ms();  // monotonic

/// Reaps all that is dead, the adopted too. True: nobody is left.
bool reap();

/// One short datagram to the orchestrator, as printf. Lost when it is gone: nobody to tell.
[[gnu::format(printf, 1, 2)]] void say(const char* format, ...);

// --- tree.cpp: who is below us ---

struct process {
  pid_t pid;
  pid_t group;
  unsigned long long start;  // with pid, the same process for sure
  int fd = -1;               // of `hold_process`
};

struct process_list {
  process* items = nullptr;
  std::size_t count = 0;
  std::size_t capacity = 0;
};
/// False: there is no memory for it.
bool append(process_list& list, const process& p);

enum class activity { gone, stopped, uninterruptible, running };

/// False when there is no such process, or (errno says so) it cannot be looked at.
bool read_process(pid_t pid, process& p);
/// All descendants, parents before children; those that appear meanwhile may be missing. False:
/// some could not be looked at, and they and theirs are not in it.
bool list_tree(process_list& into);
/// Of its threads together: running when one of them is, or cannot be looked at.
activity activity_of(pid_t pid);
/// A descriptor of that very process, for `signal_held`; -1: it is gone, or cannot be looked at.
int hold_process(const process& p);
void signal_held(int fd, int signal);
/// To that very process: a pid that was used again is left alone.
void signal_process(const process& p, int signal);
/// To all descendants that are there now; `group`: only to members of that process group, 0: all.
void signal_tree(int signal, pid_t group = 0);

// --- freeze.cpp ---

/// Stops the tree: by its cgroup, else by SIGSTOP. True: nobody runs. False: not within the bound,
/// and all goes on as before. Takes at most the bound (and a last pass).
bool freeze(std::int64_t& took_ms);
/// To those that `freeze` stopped; opens nothing.
void signal_stopped(int signal);
/// Continues those that `freeze` stopped, and no others. Harmless without it.
void thaw();

// --- cgroup.cpp: the leaf cgroup, where there is one; without it all of these do nothing ---

/// Makes the leaf; `-`: none wanted.
void make_leaf(const char* path);
/// In the forked child, before exec. False: not in it.
bool enter_leaf();
/// The child said that it did not get in.
void abandon_leaf();
bool have_leaf();
bool freeze_leaf(std::int64_t until_ms);
void thaw_leaf();
void kill_leaf();
bool leaf_populated();
void remove_leaf();
/// Is it this directory?
bool is_leaf(const char* directory);

// --- limits.cpp: what the agent's tree may have at once ---

/// Makes the groups that `lines` (shim_protocol.hpp) name, and sets their limits. After
/// `make_leaf`. False: a limit that is wanted is not set.
bool set_limits(char* lines);
/// In the forked child, before exec. False: it is under some of the limits only.
bool enter_limits(bool in_leaf);
/// How many of the tree the kernel has killed for want of memory, and how often it refused one more
/// process; 0 where it does not tell.
unsigned long long oom_kills();
unsigned long long refused_forks();
void remove_limits();

// --- agent.cpp ---

struct agent_spec {
  const char* cwd;
  const char* nofile;
  char** argv;
};

/// Forks and execs; says `started` or `exec_failed`. Returns its pid, or 0 when it did not start.
/// `limited`: its limits are set.
pid_t start_agent(const agent_spec& spec, bool limited);

// --- attempt.cpp: the attempt's directory ---

/// Who we are, into the lock that we hold. False: an agent of ours could not be found again.
bool record_self();
/// Once the tree is empty: a lock without it that names somebody who is gone is of one who was
/// killed before. The name stays: until we are gone we hold the lock, and whoever waits for that
/// must know for whom.
void record_end();
/// `exited 3` or `signal 9` into `exit`, durably; `status` as wait() gives it.
void record_exit(int status);
/// What the agent's tree still prints goes into `out` and `err` itself. For when nobody else reads.
void drain_output();

}  // namespace shim

// The process host: starts an agent under its own shim and reports what happens to its whole
// process tree. The seam of the run room: tests script a host, `make_host` gives the machine's.
// Thread: the loop's, all of it. What blocks in a start is done on a thread of the host's own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <remora/core/exit_status.hpp>
#include <remora/core/result.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace remora::process {

/// What a whole process tree may have at once; zero: no limit.
struct tree_limits {
  std::uint64_t memory_bytes = 0;
  std::uint32_t processes = 0;  ///< each thread counts as one
};

/// What to start, complete: nothing is inherited but what is written here.
struct spawn_spec {
  std::vector<std::string>
      argv;  ///< argv[0] is searched in `environment`'s PATH unless it holds a slash
  std::vector<std::pair<std::string, std::string>> environment;
  std::filesystem::path cwd;
  /// Made by the host, 0700: `lock out err exit` (docs/architecture.md). Raw output is in `out` and
  /// `err` before anybody here sees it.
  std::filesystem::path attempt_dir;
  /// Where its tree may ask, below a directory that is there once the host has made `attempt_dir`
  /// (requests.hpp); removed with it. Empty: nowhere. In its environment as `socket_variable`.
  std::filesystem::path socket;
  std::string name;    ///< of the cgroup leaf, and in messages: `<run>.<task>.<attempt>`
  tree_limits limits;  ///< enforced where the kernel lets us: `host::unenforceable`
};

/// Who was started: enough to know it again after a crash of ours.
struct identity {
  int pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat
  std::string boot;
};

/// Holds `spawn_spec::socket`, where that could be made.
constexpr const char* socket_variable = "REMORA_SOCKET";

// --- what a child reports, in order ---
struct out_bytes {
  std::string bytes;
};  ///< already appended to `out`
struct err_bytes {
  std::string bytes;
};  ///< already appended to `err`
struct frozen {
  bool whole = true;
};  ///< false: not within 500 ms; it was thawed again
struct thawed {};
struct exited {
  exit_status status;
  bool out_of_memory = false;
};  ///< the agent itself; its tree may live on. out_of_memory: the kernel ended it for want of
    ///< memory, where the kernel tells
struct emptied {
  bool proven = true;
  std::uint64_t unsaved_bytes = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t refused_forks = 0;
};  ///< nobody is left, pipes drained for at most 2 s. proven = false: the shim died and its tree
    ///< could not be seen to be gone. unsaved_bytes: of the output, what could not be appended to
    ///< `out` or `err` (a full disk); it was reported all the same. oom_kills: how many of the tree
    ///< the kernel ended for want of memory; refused_forks: how often it refused one more process.
    ///< Both only where it tells
/// A request of a process of its tree, one line without its newline.
struct asked {
  std::string request;
  /// One line without its newline; once. Does nothing where the asker, or the child, is gone.
  std::function<void(std::string)> answer;
};
struct unheard {
  std::string why;
};  ///< its socket could not be made: it has none
using child_event =
    std::variant<out_bytes, err_bytes, frozen, thawed, exited, emptied, asked, unheard>;

/// What a process tree has used.
struct child_use {
  std::chrono::milliseconds cpu{0};
  std::uint64_t bytes = 0;  ///< on the TCP connections that it has open, in our network namespace
};

class child {
 public:
  /// Asks the shim to end the tree (KILL) and hands the shim to the host's reaper; never blocks.
  virtual ~child() = default;
  virtual const identity& who() const noexcept = 0;

  // Commands: queued, never block, answered by events. After `emptied` they do nothing.
  virtual void freeze() = 0;
  virtual void thaw() = 0;
  virtual void signal(int signal) = 0;  ///< to the agent's process group
  virtual void kill() = 0;              ///< KILL to the whole tree, repeated until it is empty
  /// Queues bytes for stdin; a closed pipe is ignored (the exit tells).
  virtual void write_stdin(std::string bytes) = 0;
  virtual void close_stdin() = 0;

  /// The next event, in order: what the agent had written before its exit, or the tree before it
  /// was frozen, comes before `exited` or `frozen`. Output is bounded by back-pressure (at most 1
  /// MiB is held here). After `emptied` there is none: do not call. Cancellation loses nothing.
  virtual boost::asio::awaitable<child_event> next() = 0;

  /// False: a limit that can be enforced here could not be set for this one. It runs without it.
  virtual bool limited() const noexcept { return true; }

  /// So far. Cost: a look at each process of the tree and its descriptors. Errors: errno; it tells
  /// nothing then.
  virtual result<child_use> use() = 0;
};

class host {
 public:
  virtual ~host() = default;
  /// Returns once exec has succeeded, or with its errno (ENOENT, EACCES, E2BIG, …): never a silent
  /// 127. Errors: errno with the program's name; errc::environment (no shim, no attempt directory,
  /// no cwd); errc::held (a shim lives in the attempt directory); errc::killed (a signal ended the
  /// shim before it told of the agent: whoever it had started is gone). Cancellation: ends what was
  /// begun, once the shim runs; the attempt's directory stays. Cost: some 0.1 ms of the loop's; the
  /// directory, the channels and the shim's exec are another thread's, one start after the other.
  virtual boost::asio::awaitable<result<std::unique_ptr<child>>> start(spawn_spec spec) = 0;
  /// For each limit that cannot be enforced on who is started here: which, why, what to do. Those
  /// who are started have no such limit. May move this process into a child of its cgroup, and the
  /// children that it has.
  virtual std::vector<std::string> unenforceable(const tree_limits&) { return {}; }
  /// Waits until every shim that was started, or is being started, is reaped, or was let go of: one
  /// whose tree cannot be ended goes on trying, and holds the attempt's lock until nobody is left.
  virtual boost::asio::awaitable<void> join() = 0;
};

struct host_options {
  /// Each agent in a leaf of our own cgroup v2, where that can be made; else, and where this is
  /// false, the tree is found and stopped process by process.
  bool use_cgroups = true;
};
/// `shim`: the program `remora-shim` (found beside this program by `find_shim`).
/// After a shim's death all children of this process that live in another session than its own are
/// ended: whoever else starts children here leaves them in it. The host goes before its loop; its
/// destructor waits for a shim that is being started, which then ends as after our death.
std::unique_ptr<host> make_host(boost::asio::any_io_executor executor, std::filesystem::path shim,
                                host_options options = {});
/// Beside the running program, else in $REMORA_SHIM, else in ../libexec. Errors: errc::environment.
result<std::filesystem::path> find_shim();

/// At start of the program: subreaper, SIGPIPE ignored, soft descriptor limit raised to the hard
/// one (children get the old one back).
void prepare_this_process();
/// How many agents the hard limit of descriptors allows at a time; at least one.
std::uint32_t affordable_agents();

// --- after a crash of the orchestrator: what an attempt directory says ---
struct attempt_remains {
  bool alive = false;               ///< its shim still holds the lock
  bool empty = false;               ///< nobody of its tree is left: its shim saw that, or never was
  std::optional<exit_status> exit;  ///< what the shim wrote
};
/// An attempt that was never started has no remains. Errors: errno (whether it lives is not known);
/// errc::corrupt (it does not, and `exit` says nothing).
result<attempt_remains> inspect_attempt(const std::filesystem::path& attempt_dir);

}  // namespace remora::process

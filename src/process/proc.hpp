// What /proc and the cgroup tree say about processes. Blocking, short. Thread: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <remora/core/result.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace remora::process {

struct proc_stat {
  char state = '?';
  int parent = 0;
  int group = 0;
  std::uint64_t cpu_ticks = 0;  ///< its own, and its reaped children's
  std::uint64_t start_ticks = 0;
};

/// The error of a look at a process that has ended.
bool is_gone(const error& e);
/// Errors: errno; errc::environment (it is not as in proc(5)).
result<proc_stat> read_stat(int pid);
/// Of all its threads, those of a moment; none where it is gone. Errors: errno.
result<std::vector<int>> children_of(int pid);
/// `pid` and all below it. Errors: errno.
result<std::vector<int>> tree_of(int pid);
/// Whether `ancestor` is above `pid`, at any distance. It is a child of ours that is not reaped:
/// its number stays its own. Errors: errno (as where `pid` is gone); errc::environment.
result<bool> descends_from(int pid, int ancestor);
/// CPU time of these, with what their children that ended had used. It may be less than before: of
/// who ignores SIGCHLD, what his children used is lost with them. Errors: errno.
result<std::chrono::milliseconds> cpu_time_of(std::span<const int> pids);

/// Our own cgroup v2 directory; empty where there is none. Looked up once.
const std::filesystem::path& own_cgroup();
/// That in the v1 hierarchy of a controller, such as `memory`. Reads two files.
std::filesystem::path own_cgroup_v1(std::string_view controller);
/// Of all that ever were in the cgroup.
std::optional<std::chrono::milliseconds> cgroup_cpu_time(const std::filesystem::path& cgroup);
/// All in it at once, also those being forked. Does nothing before Linux 5.14.
void kill_cgroup(const std::filesystem::path& cgroup);

}  // namespace remora::process

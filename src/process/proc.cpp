#include "process/proc.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <string>
#include <string_view>

namespace remora::process {

namespace {

template <class Number>
Number to_number(std::string_view text) {
  Number n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// Where a hierarchy is mounted, and which of its groups is there.
struct cgroup_mount {
  std::filesystem::path at;
  std::string root;
};

bool names(std::string_view list, std::string_view one) {
  const auto all = split(list, ',');
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// Of mountinfo's line (proc(5)): fields 4 and 5, and after ` - ` the type, the source and the
/// options, which name the controllers of v1.
std::optional<cgroup_mount> find_mount(std::string_view controller) {
  const auto mounts = read_file("/proc/self/mountinfo");
  if (!mounts) return std::nullopt;
  for (const std::string_view line : split(*mounts, '\n')) {
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto fields = split(line.substr(0, dash), ' ');
    const auto type = split(line.substr(dash + 3), ' ');
    if (fields.size() < 5 || type.size() < 3) continue;
    if (controller.empty() ? type[0] == "cgroup2"
                           : type[0] == "cgroup" && names(type[2], controller))
      return cgroup_mount{fields[4], std::string(fields[3])};
  }
  return std::nullopt;
}

/// In the hierarchy of the controller; empty: v2's, whose line in /proc/self/cgroup is `0::PATH`.
std::filesystem::path find_own_cgroup(std::string_view controller) {
  const auto mount = find_mount(controller);
  const auto mine = read_file("/proc/self/cgroup");
  if (!mount || !mine) return {};
  for (const std::string_view line : split(*mine, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    if (controller.empty() ? fields[0] != "0" : !names(fields[1], controller)) continue;
    std::string_view path = line.substr(fields[0].size() + fields[1].size() + 2);
    if (mount->root != "/" && path.starts_with(mount->root)) path.remove_prefix(mount->root.size());
    while (path.starts_with('/')) path.remove_prefix(1);
    return path.empty() ? mount->at : mount->at / path;
  }
  return {};
}

}  // namespace

bool is_gone(const error& e) {
  return e.is_errno(ENOENT) || e.is_errno(ESRCH);  // before and after the opening
}

result<proc_stat> read_stat(int pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  REMORA_TRY(const std::string text, read_file(path));
  const auto name_end = text.rfind(") ");  // the name may hold anything
  if (name_end == std::string::npos) return fail(errc::environment, path + " names no process");
  const auto field = split(std::string_view(text).substr(name_end + 2), ' ');  // proc(5), from 3
  if (field.size() < 20) return fail(errc::environment, path + " is cut off");
  proc_stat stat;
  stat.state = field[0].front();
  stat.parent = to_number<int>(field[1]);
  stat.group = to_number<int>(field[2]);
  for (std::size_t i = 11; i <= 14; ++i) stat.cpu_ticks += to_number<std::uint64_t>(field[i]);
  stat.start_ticks = to_number<std::uint64_t>(field[19]);
  return stat;
}

result<std::vector<int>> children_of(int pid) {
  std::vector<int> children;
  const std::string path = fmt::format("/proc/{}/task", pid);
  std::error_code failed;
  std::filesystem::directory_iterator threads(path, failed);
  for (; !failed && threads != std::filesystem::directory_iterator(); threads.increment(failed)) {
    const auto text = read_file(threads->path() / "children");
    if (!text && is_gone(text.error())) continue;
    if (!text) return text.error();
    for (const std::string_view number : split(trim(*text), ' '))
      if (const int child = to_number<int>(number); child > 0) children.push_back(child);
  }
  if (!failed) return children;
  error e = os_error(failed.value(), "cannot list " + path);
  if (!is_gone(e)) return e;
  return children;
}

result<std::vector<int>> tree_of(int pid) {
  std::vector<int> tree{pid};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    REMORA_TRY(const std::vector<int> children, children_of(tree[i]));
    tree.insert(tree.end(), children.begin(), children.end());
  }
  return tree;
}

// Who dies on the way up leaves its children to somebody above it, and its number to anybody: who
// bears it was started after its supposed child.
result<bool> descends_from(int pid, int ancestor) {
  constexpr int tries = 16;
  for (int i = 0; i < tries; ++i) {
    auto born = std::numeric_limits<std::uint64_t>::max();
    int at = pid;
    while (at > 1) {
      const auto stat = read_stat(at);
      if (!stat && (at == pid || !is_gone(stat.error()))) return stat.error();
      if (!stat || stat->start_ticks > born) break;
      if (stat->parent == ancestor) return true;
      born = stat->start_ticks;
      at = stat->parent;
    }
    if (at <= 1) return false;
  }
  return fail(errc::environment, fmt::format("the parents of process {} keep changing", pid));
}

result<std::chrono::milliseconds> cpu_time_of(std::span<const int> pids) {
  std::uint64_t ticks = 0;
  for (const int pid : pids) {
    const auto stat = read_stat(pid);
    if (!stat && !is_gone(stat.error())) return stat.error();
    if (stat) ticks += stat->cpu_ticks;
  }
  static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::chrono::milliseconds(ticks * 1000 / per_second);
}

const std::filesystem::path& own_cgroup() {
  static const std::filesystem::path path = find_own_cgroup({});
  return path;
}

std::filesystem::path own_cgroup_v1(std::string_view controller) {
  return find_own_cgroup(controller);
}

std::optional<std::chrono::milliseconds> cgroup_cpu_time(const std::filesystem::path& cgroup) {
  const auto text = read_file(cgroup / "cpu.stat");
  constexpr std::string_view key = "usage_usec ";
  if (!text || !text->starts_with(key)) return std::nullopt;
  const auto usec = to_number<std::int64_t>(std::string_view(*text).substr(key.size()));
  return std::chrono::milliseconds(usec / 1000);
}

void kill_cgroup(const std::filesystem::path& cgroup) {
  if (const auto fd = open_file(cgroup / "cgroup.kill", O_WRONLY)) (void)write_all(fd->get(), "1");
}

}  // namespace remora::process

#include "process/limits.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/process/cgroups.hpp>

#include "process/proc.hpp"

namespace remora::process {
namespace fs = std::filesystem;
namespace {

constexpr const char* prefix_of_groups = "remora-";
constexpr const char* delegated =
    "start it as 'systemd-run --user --scope -p Delegate=yes remora …' (root: without --user)";

std::vector<std::string> words_in(const fs::path& file) {
  std::vector<std::string> words;
  const auto text = read_file(file);
  if (!text) return words;
  for (const std::string_view line : split(trim(*text), '\n'))
    for (const std::string_view word : split(line, ' '))
      if (!word.empty()) words.emplace_back(word);
  return words;
}

bool has_word(const fs::path& file, std::string_view word) {
  const auto words = words_in(file);
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool put(const fs::path& file, std::string_view text) {
  const auto fd = open_file(file, O_WRONLY);
  return fd && write_all(fd->get(), text).has_value();
}

/// The root of all has no type, and may have processes and give its children controllers.
bool must_be_empty(const fs::path& group) {
  return ::access((group / "cgroup.type").c_str(), F_OK) == 0;
}

/// Whoever is in the group itself: this process and those below it.
bool only_we_are_in(const fs::path& group) {
  const auto tree = tree_of(::getpid());
  if (!tree) return false;
  for (const std::string& word : words_in(group / "cgroup.procs")) {
    int pid = 0;  // 0: of another pid namespace
    std::from_chars(word.data(), word.data() + word.size(), pid);
    if (std::find(tree->begin(), tree->end(), pid) == tree->end()) return false;
  }
  return true;
}

constexpr int most_passes = 10;

/// A group of v2 gives its children controllers only while nobody is in it itself.
bool move_out_of(const fs::path& group) {
  const fs::path below = group / "remora";
  if (::mkdir(below.c_str(), 0755) != 0 && errno != EEXIST) return false;
  for (int pass = 0; pass < most_passes; ++pass) {  // some end, and some are born, meanwhile
    const auto pids = words_in(group / "cgroup.procs");
    if (pids.empty()) return true;
    for (const std::string& pid : pids) put(below / "cgroup.procs", pid);
  }
  return false;
}

/// Never `+pids` alone while somebody is in it: its children could hold no processes then.
void give_to_children(const fs::path& group, std::string_view controller, bool may_move) {
  if (has_word(group / "cgroup.subtree_control", controller)) return;
  if (must_be_empty(group) && !words_in(group / "cgroup.procs").empty()) {
    if (!may_move || !only_we_are_in(group) || !move_out_of(group)) return;
  }
  put(group / "cgroup.subtree_control", fmt::format("+{}", controller));
}

/// 0, or the errno of making a group there with this file in it.
int try_group(const fs::path& parent, const char* file) {
  const fs::path group = parent / fmt::format("{}probe.{}", prefix_of_groups, ::getpid());
  if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) return errno;
  const int failed = ::access((group / file).c_str(), W_OK) == 0 ? 0 : errno;
  ::rmdir(group.c_str());
  return failed;
}

std::string refused(const fs::path& parent, int failed) {
  return os_error(failed, "no control group can be made in " + parent.string()).what;
}

}  // namespace

std::string group_name(std::string_view name) {
  std::string group = prefix_of_groups + std::string(name);
  std::replace(group.begin(), group.end(), '/', '-');
  return group;
}

limit_places::limit_places(bool may_move)
    : memory_(look_for("memory", "memory.max", "memory.limit_in_bytes", may_move)),
      processes_(look_for("pids", "pids.max", "pids.max", may_move)) {}

limit_places::place limit_places::look_for(std::string_view controller, const char* file_v2,
                                           const char* file_v1, bool may_move) {
  const fs::path& own = own_cgroup();
  if (!own.empty() && has_word(own / "cgroup.controllers", controller)) {
    give_to_children(own, controller, may_move);
    const int failed = try_group(own, file_v2);
    if (failed == 0) return {own, true, {}};
    if (failed == ENOENT && !may_move && only_we_are_in(own)) return {own, true, {}};
    return {own, true,
            failed == ENOENT ? fmt::format("others are in the control group {} as well: {}",
                                           own.string(), delegated)
                             : fmt::format("{}; {}", refused(own, failed), delegated)};
  }
  const fs::path v1 = own_cgroup_v1(controller);
  if (v1.empty())
    return {own, true,
            fmt::format("the control group of this process is given no '{}' controller: {}",
                        controller, delegated)};
  const int failed = try_group(v1, file_v1);
  if (failed == 0) return {v1, false, {}};
  return {v1, false, refused(v1, failed) + "; start it as root"};
}

std::vector<std::string> limit_places::missing(const tree_limits& wanted) const {
  std::vector<std::string> all;
  if (wanted.memory_bytes > 0 && !memory_.why_not.empty())
    all.push_back("limits.memory is not enforced: " + memory_.why_not);
  if (wanted.processes > 0 && !processes_.why_not.empty())
    all.push_back("limits.processes is not enforced: " + processes_.why_not);
  return all;
}

limit_places::plan limit_places::for_tree(const tree_limits& wanted, std::string_view name) const {
  plan p;
  const auto add = [&](const place& where, std::string_view optional, std::uint64_t value,
                       const char* file) {
    const fs::path group = where.parent / group_name(name);
    p.lines += fmt::format("{}{} {}\n", optional, value, (group / file).string());
    if (std::find(p.groups.begin(), p.groups.end(), group) == p.groups.end())
      p.groups.push_back(group);
  };
  // What could be swapped out would only make it slow, and the machine with it.
  if (wanted.memory_bytes > 0 && memory_.why_not.empty()) {
    add(memory_, "", wanted.memory_bytes, memory_.v2 ? "memory.max" : "memory.limit_in_bytes");
    if (memory_.v2)
      add(memory_, "?", 0, "memory.swap.max");
    else
      add(memory_, "?", wanted.memory_bytes, "memory.memsw.limit_in_bytes");
  }
  if (wanted.processes > 0 && processes_.why_not.empty())
    add(processes_, "", wanted.processes, "pids.max");
  return p;
}

std::vector<std::string> unenforceable_limits(const tree_limits& wanted) {
  return limit_places(false).missing(wanted);
}

std::vector<fs::path> find_agent_groups(std::string_view prefix) {
  const std::string begin = group_name(prefix);
  std::vector<fs::path> found;
  for (const fs::path& own : {own_cgroup(), own_cgroup_v1("memory"), own_cgroup_v1("pids")}) {
    if (own.empty()) continue;
    std::error_code ec;
    fs::directory_iterator at(own, ec);
    for (; !ec && at != fs::directory_iterator(); at.increment(ec))
      if (at->path().filename().string().starts_with(begin)) found.push_back(at->path());
  }
  return found;
}

bool remove_agent_group(const fs::path& group) {
  return ::rmdir(group.c_str()) == 0;
}

}  // namespace remora::process

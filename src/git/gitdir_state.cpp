#include "git/gitdir_state.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <remora/core/text.hpp>

#include "git/handles.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_head_bytes = 4096;
constexpr std::size_t max_operation_bytes = 1 << 20;
constexpr std::size_t max_stash_log_bytes = 16 << 20;
constexpr int max_operation_depth = 4;

// gitrepository-layout(5), and what `git status` looks at (wt-status.c).
constexpr std::array<std::string_view, 12> operation_names{
    "MERGE_HEAD",   "MERGE_MSG",    "MERGE_MODE",          "CHERRY_PICK_HEAD",
    "REVERT_HEAD",  "REBASE_HEAD",  "BISECT_LOG",          "BISECT_START",
    "BISECT_TERMS", "BISECT_NAMES", "BISECT_EXPECTED_REV", "ORIG_HEAD"};
constexpr std::array<std::string_view, 3> operation_directories{"rebase-merge", "rebase-apply",
                                                                "sequencer"};

template <class Names>
bool contains(const Names& names, std::string_view wanted) {
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

class operation_reader {
 public:
  operation_reader(int git_dir, std::vector<omission>& left_out)
      : git_dir_(git_dir), left_out_(left_out) {}

  operation_files run() {
    for (const std::string_view name : operation_names)
      if (name != "ORIG_HEAD") file(std::string(name));
    for (const std::string_view name : operation_directories) below(std::string(name), 1);
    // ORIG_HEAD stays behind after many commands: alone it says nothing.
    if (!files_.empty()) file("ORIG_HEAD");
    std::sort(files_.begin(), files_.end());
    return std::move(files_);
  }

 private:
  void file(const std::string& name) {
    auto bytes = read_regular(git_dir_, name, max_operation_bytes);
    if (bytes)
      files_.emplace_back(name, std::move(*bytes));
    else if (bytes.error().is(errc::too_large))
      left_out_.push_back({".git/" + name, "too large"});
    else if (!bytes.error().is_errno(ENOENT))
      left_out_.push_back({".git/" + name, std::string(unreadable)});
  }

  void below(const std::string& path, int depth) {
    const auto dir = open_beneath(git_dir_, path, O_RDONLY | O_DIRECTORY);
    if (!dir) {
      if (!dir.error().is_errno(ENOENT))
        left_out_.push_back({".git/" + path, std::string(unreadable)});
      return;
    }
    name_list names;
    if (!names.read(dir->get())) return;
    for (std::size_t i = 0; i < names.size(); ++i) {
      struct stat st{};
      const std::string inner = path + '/' + std::string(names.name(i));
      if (::fstatat(dir->get(), names.c_str(i), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (!S_ISDIR(st.st_mode))
        file(inner);
      else if (depth < max_operation_depth)
        below(inner, depth + 1);
    }
  }

  int git_dir_;
  std::vector<omission>& left_out_;
  operation_files files_;
};

void remove_below(int parent, const std::string& name, int depth) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || depth > max_operation_depth) return;
  if (const auto dir = open_directory(parent, name)) {
    name_list names;
    if (names.read(dir->get()))
      for (std::size_t i = 0; i < names.size(); ++i)
        remove_below(dir->get(), std::string(names.name(i)), depth + 1);
  }
  ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);
}

}  // namespace

head_reading read_head(const repository& repo, int git_dir) {
  head_reading reading;
  auto bytes = read_regular(git_dir, "HEAD", max_head_bytes);
  if (!bytes) return reading;
  reading.bytes = std::move(*bytes);
  constexpr std::string_view symbolic = "ref: ";
  const std::string_view text = trim(reading.bytes);
  if (!text.starts_with(symbolic)) {
    const auto id = oid::parse(text);
    if (!id || !repo.read_commit(*id)) return reading;
    reading.head.commit = *id;
    reading.readable = true;
    return reading;
  }
  const std::string ref(trim(text.substr(symbolic.size())));
  int valid = 0;
  if (git_reference_name_is_valid(&valid, ref.c_str()) != 0 || valid == 0 ||
      !ref.starts_with("refs/"))
    return reading;
  const auto target = repo.read_ref(ref);
  if (!target || (*target && !repo.read_commit(**target))) return reading;
  reading.head = {target->value_or(oid()), ref};
  reading.readable = true;
  return reading;
}

operation_files read_operation(int git_dir, std::vector<omission>& left_out) {
  return operation_reader(git_dir, left_out).run();
}

bool is_operation_path(std::string_view path) {
  const auto parts = split(path, '/');
  if (parts.size() == 1) return contains(operation_names, path);
  if (parts.size() > max_operation_depth + 1 || !contains(operation_directories, parts.front()))
    return false;
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    return !part.empty() && part != "." && part != ".." && part.find('\0') == part.npos;
  });
}

std::vector<oid> operation_commits(const operation_files& files) {
  std::vector<oid> ids;
  for (const auto& [name, bytes] : files) {
    const std::string_view last = std::string_view(name).substr(name.rfind('/') + 1);
    const bool names_commits = last.ends_with("_HEAD") || last == "onto" || last == "orig-head" ||
                               last == "head" || last == "stopped-sha" || last == "abort-safety";
    if (!names_commits) continue;
    for (const std::string_view line : split(bytes, '\n'))
      if (const auto id = oid::parse(trim(line))) ids.push_back(*id);
  }
  return ids;
}

void remove_operation(int git_dir) {
  for (const std::string_view name : operation_names)
    ::unlinkat(git_dir, std::string(name).c_str(), 0);
  for (const std::string_view name : operation_directories)
    remove_below(git_dir, std::string(name), 0);
}

std::vector<oid> read_stashes(const repository& repo, const std::string& branch) {
  constexpr std::string_view heads = "refs/heads/";
  std::vector<oid> ids;
  if (!branch.starts_with(heads)) return ids;
  const std::string name = branch.substr(heads.size());
  const auto dir = open_file(repo.common_dir(), O_RDONLY | O_DIRECTORY);
  if (!dir) return ids;
  const auto log = read_regular(dir->get(), "logs/refs/stash", max_stash_log_bytes);
  if (!log) return ids;
  for (const std::string_view line : split(*log, '\n')) {
    const std::size_t tab = line.find('\t');
    if (line.size() < 82 || tab == line.npos) continue;
    const std::string_view message = line.substr(tab + 1);
    if (!message.starts_with("WIP on " + name + ':') && !message.starts_with("On " + name + ':'))
      continue;
    const auto id = oid::parse(line.substr(41, 40));
    if (id && repo.read_commit(*id)) ids.push_back(*id);
  }
  std::reverse(ids.begin(), ids.end());
  return ids;
}

}  // namespace remora::git

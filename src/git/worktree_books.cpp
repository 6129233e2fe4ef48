#include "git/worktree_books.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/text.hpp>

#include "git/careful.hpp"
#include "git/handles.hpp"
#include "git/wait.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes lock_patience{1};
constexpr std::chrono::milliseconds between_tries{20};
constexpr std::size_t most_gitfile = 4 << 10;
constexpr std::string_view half_made = "\nhalf made\n";

/// One file for each root; its name is a hash because a path is no file name.
fs::path note_path(const fs::path& common_dir, const fs::path& root) {
  const std::string text = real_root(root).string();
  git_oid id{};
  git_odb_hash(&id, text.data(), text.size(), GIT_OBJECT_BLOB);
  return common_dir / "remora" / "worktrees" / from_git(id).hex();
}

}  // namespace

result<unique_fd> lock_worktrees(const fs::path& common_dir, std::stop_token stop) {
  const fs::path directory = common_dir / "remora";
  REMORA_CHECK(make_directories(directory, 0700));
  REMORA_TRY(unique_fd lock, open_file(directory / "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  const auto until = std::chrono::steady_clock::now() + lock_patience;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return os_error(errno, "cannot lock the worktrees");
    if (stop.stop_requested()) return fail(errc::stopped, "asked to stop while waiting for a lock");
    if (std::chrono::steady_clock::now() >= until)
      return fail(errc::held, fmt::format("another remora has held {} for a minute",
                                          to_utf8((directory / "lock").string())));
    pause_for(between_tries);
  }
  return lock;
}

fs::path real_root(const fs::path& root) {
  std::error_code ec;
  const fs::path absolute = fs::absolute(root, ec).lexically_normal();
  const fs::path trimmed = absolute.has_filename() ? absolute : absolute.parent_path();
  const fs::path parent = fs::weakly_canonical(trimmed.parent_path(), ec);
  return ec ? trimmed : parent / trimmed.filename();
}

entry_list list_entries(const fs::path& common_dir) {
  entry_list found;
  const auto entries = open_file(common_dir / "worktrees", O_RDONLY | O_DIRECTORY);
  name_list names;
  const auto read = entries ? names.read(entries->get()) : result<void>(entries.error());
  if (!read && !read.error().is_errno(ENOENT)) found.unread = read.error();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name(names.name(i));
    const auto text = read_regular(entries->get(), name + "/gitdir", most_gitfile);
    const bool none = !text && (text.error().is_errno(ENOENT) || text.error().is_errno(ENOTDIR) ||
                                text.error().is(errc::unsupported));
    if (!text && !none) found.unread = text.error();
    if (!text) continue;
    const fs::path entry = common_dir / "worktrees" / name;
    // Relative with `worktree.useRelativePaths` (git 2.48).
    found.by_root.emplace((entry / std::string(trim(*text))).lexically_normal().parent_path(),
                          entry);
  }
  return found;
}

result<std::optional<fs::path>> find_entry(const fs::path& common_dir, const fs::path& root) {
  const entry_list entries = list_entries(common_dir);
  const auto found = entries.by_root.find(real_root(root));
  if (found != entries.by_root.end()) return std::optional(found->second);
  if (entries.unread) return *entries.unread;
  return std::optional<fs::path>();
}

result<fs::path> read_gitfile(int root_fd, const fs::path& root) {
  REMORA_TRY(const std::string text, read_regular(root_fd, ".git", most_gitfile));
  constexpr std::string_view prefix = "gitdir: ";
  if (!text.starts_with(prefix)) return fail(errc::corrupt, ".git says no `gitdir:`");
  const std::string target(trim(std::string_view(text).substr(prefix.size())));
  if (target.find('\0') != target.npos) return fail(errc::corrupt, ".git holds a zero byte");
  return (root / target).lexically_normal();
}

result<void> note_made(const fs::path& common_dir, const fs::path& root, making how_far) {
  const fs::path note = note_path(common_dir, root);
  REMORA_CHECK(make_directories(note.parent_path(), 0700));
  return write_file_durably(note, fmt::format("{}{}", real_root(root).string(),
                                              how_far == making::begun ? half_made : "\n"));
}

std::vector<fs::path> made_roots(const fs::path& common_dir) {
  std::vector<fs::path> roots;
  std::error_code ec;
  for (const auto& note : fs::directory_iterator(common_dir / "remora" / "worktrees", ec)) {
    const auto text = read_file(note.path(), most_gitfile);
    if (!text) continue;
    std::string_view of = *text;
    if (of.ends_with(half_made)) of.remove_suffix(half_made.size());
    fs::path root(std::string(trim(of)));
    // What a crash left beside a note is no note.
    if (note.path() == note_path(common_dir, root)) roots.push_back(std::move(root));
  }
  std::sort(roots.begin(), roots.end());
  return roots;
}

result<bool> was_made(const fs::path& common_dir, const fs::path& root) {
  if (::access(note_path(common_dir, root).c_str(), F_OK) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return os_error(errno, "cannot look for the note of " + to_utf8(root.string()));
}

bool is_half_made(const fs::path& common_dir, const fs::path& root) {
  const auto text = read_file(note_path(common_dir, root), most_gitfile);
  return text && text->ends_with(half_made);
}

result<void> forget_made(const fs::path& common_dir, const fs::path& root) {
  const fs::path note = note_path(common_dir, root);
  if (::unlink(note.c_str()) != 0 && errno != ENOENT)
    return os_error(errno, fmt::format("cannot remove {}", note.string()));
  return {};
}

}  // namespace remora::git

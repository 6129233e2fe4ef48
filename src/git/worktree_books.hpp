// Git's bookkeeping of worktrees (gitrepository-layout(5): `worktrees/<id>`), ours of which of them
// we made, and the lock that both are changed under.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <remora/core/posix.hpp>
#include <stop_token>
#include <string>
#include <vector>

namespace remora::git {

/// `<common dir>/remora/lock`, held until it goes out of scope. Waits at most a minute.
/// Errors: errc::held, errc::stopped, errno.
result<unique_fd> lock_worktrees(const std::filesystem::path& common_dir, std::stop_token stop);

/// `root` as git writes it: absolute, without symbolic links above it.
std::filesystem::path real_root(const std::filesystem::path& root);

/// Every worktree that git has an entry for: its root, and `<common dir>/worktrees/<id>`.
struct entry_list {
  std::map<std::filesystem::path, std::filesystem::path> by_root;
  std::optional<error> unread;  ///< some could not be read, perhaps those of other users
};
entry_list list_entries(const std::filesystem::path& common_dir);
/// That of the worktree at `root`, or nothing. Errors: errno (one could not be read, which may be
/// it).
result<std::optional<std::filesystem::path>> find_entry(const std::filesystem::path& common_dir,
                                                        const std::filesystem::path& root);

/// In `<common dir>/remora`: an entry that is on its way out, or in the making. What is there is of
/// somebody who died; the next one removes it.
inline constexpr const char* entry_aside = "removed-worktree";

/// Where the `.git` file below the directory `root_fd` points, `root` being that directory's path;
/// read as something that an agent may have replaced. Errors: errno, errc::corrupt, ...
result<std::filesystem::path> read_gitfile(int root_fd, const std::filesystem::path& root);

/// Ours: that remora makes `root`, or has made it. Kept outside git's entry, which an agent's git
/// can remove. Durable before it returns.
enum class making { begun, done };
result<void> note_made(const std::filesystem::path& common_dir, const std::filesystem::path& root,
                       making how_far);
/// The roots of all of them.
std::vector<std::filesystem::path> made_roots(const std::filesystem::path& common_dir);
/// Errors: errno.
result<bool> was_made(const std::filesystem::path& common_dir, const std::filesystem::path& root);
/// Begun, and not done: nobody has it.
bool is_half_made(const std::filesystem::path& common_dir, const std::filesystem::path& root);
result<void> forget_made(const std::filesystem::path& common_dir,
                         const std::filesystem::path& root);

}  // namespace remora::git

// Worktrees of the user's repository: made, found healthy, removed. Everything that writes git's
// worktree bookkeeping runs under `<common dir>/remora/lock`: concurrent `git worktree add` races.
// Blocks; thread: git pool.
#pragma once

#include <remora/git/repository.hpp>
#include <stop_token>

namespace remora::git {

struct worktree {
  std::filesystem::path root;     ///< its files
  std::filesystem::path git_dir;  ///< `<common dir>/worktrees/<name>`, as git made it; never read
                                  ///< from `root/.git` again
  dev_t device = 0;               ///< identity of `root` when it was made or opened
  ino_t inode = 0;
};

/// What `git worktree add --no-track -b BRANCH root commit` gives, locked against pruning (G9: its
/// file system may be away for a while) with the branch as the reason. A branch that is there, at
/// that commit, is taken as it is.
/// Half-made branch and directory are removed on failure.
/// Errors: errc::repository with git's own words, errc::ref_moved (the branch is at another
/// commit), errc::timed_out.
result<worktree> add_worktree(const repository& repo, const std::filesystem::path& root,
                              const std::string& branch, const oid& commit, std::stop_token stop);

/// Returns once nobody makes or removes one: the git that a dead remora had started goes on, and
/// keeps the lock until it has ended. Waits at most a minute. Errors: errc::held, errc::stopped.
result<void> await_worktrees(const repository& repo, std::stop_token stop);

/// The worktree at `root`, if git's bookkeeping and the directory still agree.
/// Errors: errc::vanished.
result<worktree> open_worktree(const repository& repo, const std::filesystem::path& root);

/// A worktree that remora made and has not removed, as its notes and git's books say.
struct made_worktree {
  std::filesystem::path root;
  std::filesystem::path git_dir{};  ///< empty: git has no entry for it
  std::string branch{};  ///< that it was made for, `refs/heads/…`; empty: nothing says it any more
  bool there = false;    ///< the directory is
  bool unclear = false;  ///< whether it is, or whose, could not be looked at: leave all of it
  bool half = false;  ///< nobody's: not made to its end, or set aside for another task (reuse.hpp)
};
std::vector<made_worktree> made_worktrees(const repository& repo);
/// Whether git's books say that the worktree at `root` was made for another branch than `branch`,
/// `refs/heads/…`. Touches no object and no ref; thread: any. Errors: errno (they cannot be read).
result<bool> is_made_for_another(const repository& repo, const std::filesystem::path& root,
                                 const std::string& branch);
/// Whether it is one of them: another clone of the repository has others. Errors: errno.
result<bool> is_made_worktree(const repository& repo, const std::filesystem::path& root);

/// The worktree directly below `slots` that was made for `branch`; noted as ours again, where
/// somebody removed the notes. Nothing: there is none. Errors: errno.
result<std::optional<std::filesystem::path>> reclaim_worktree(const repository& repo,
                                                              const std::string& branch,
                                                              const std::filesystem::path& slots);

/// errc::vanished unless `root` is still the directory that was opened, not empty of its `.git`,
/// and its `.git` still points at `git_dir`.
result<void> check_worktree(const worktree& tree);

/// Removes directory and bookkeeping, whatever state they are in. Absent already: success.
/// Only below a directory that remora made: refuses a `root` without our bookkeeping. `branch`:
/// whose it must be; a directory that was deleted may be another task's by now, and is left to it.
result<void> remove_worktree(const repository& repo, const std::filesystem::path& root,
                             const std::string& branch = {});

/// Removes one that is half made; false where somebody makes it, or has made it meanwhile. Nobody
/// has it, so it holds nobody's work. A git that dies can leave the directory without an
/// entry: then nothing but our note says whose it is. Errors: errno.
result<bool> remove_half_made(const repository& repo, const std::filesystem::path& root);

/// Removes git's entry of a worktree, `<common dir>/worktrees/<name>`, which no longer says where
/// the worktree is: a power cut leaves such, and git refuses the branch that it names.
result<void> remove_broken_entry(const repository& repo, const std::filesystem::path& entry);

/// An entry of ours that no longer says where its worktree is, as after a power cut, and that no
/// worktree which is there points to. It is locked, so git keeps it for ever. Known by the branch
/// that it names; one that has lost all its words, by its name, which is a slot's. None is younger
/// than a minute: somebody's git may be making it.
struct emptied_entry {
  std::filesystem::path git_dir;
  std::string branch;  ///< `refs/heads/remora/…`; empty: nothing says it any more
};
std::vector<emptied_entry> emptied_entries(const repository& repo);
/// Removes it if it is still such a one. Errors: errno.
result<bool> remove_emptied_entry(const repository& repo, const std::filesystem::path& git_dir);

/// The `*.lock` files that dead processes left in the worktree's own git directory, and its
/// branch's lock. Only once the process tree is proven empty (G21). Returns what it removed.
result<std::vector<std::string>> remove_stale_locks(const repository& repo, const worktree& tree,
                                                    const std::string& branch);

/// Copies ignored paths (files or directories, relative, no `..`) from the user's checkout; reflink
/// where possible. Returns those that were not there. Errors: errc::usage for a path that leaves
/// the checkout.
result<std::vector<std::string>> copy_ignored(const std::filesystem::path& from,
                                              const std::filesystem::path& to,
                                              const std::vector<std::string>& paths,
                                              std::stop_token stop);

/// The lines of `.worktreeinclude` in the checkout (blank lines and `#` comments dropped); empty
/// without it.
std::vector<std::string> worktree_include(const std::filesystem::path& checkout);

}  // namespace remora::git

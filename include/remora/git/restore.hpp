// Puts a snapshot back: files, modes, links, empty directories, HEAD, index, operation in progress.
// Writes only beneath its root, through descriptors; refuses `.git` look-alikes and `..`; symbolic
// links last. Never deletes what the manifest lists as left out, nor ignored files. Blocks; thread:
// git pool.
#pragma once

#include <remora/git/snapshot.hpp>

namespace remora::git {

struct restore_report {
  std::uint64_t files_written = 0;
  std::uint64_t files_removed = 0;
  std::vector<omission> not_restored;  ///< with the reason
};

/// Makes the worktree's files, HEAD and index equal `what`. Files are converted as the attributes
/// of its head commit say. HEAD: `branch` is moved to the head commit if it is an ancestor of it
/// and HEAD was on it; else HEAD is detached there. No other branch is moved.
/// Errors: errc::vanished, errc::stopped (then the worktree is unusable: start again), errno.
result<restore_report> restore_worktree(repository& repo, const worktree& tree,
                                        const std::string& branch, const snapshot& what,
                                        std::stop_token stop);

/// Only the files of `what`, into an empty or absent directory `to`, converted as the attributes of
/// its head commit say; where that cannot be read, as its own do.
/// Errors: errc::usage if `to` is not empty.
result<restore_report> export_files(const repository& repo, const snapshot& what,
                                    const std::filesystem::path& to, std::stop_token stop);

}  // namespace remora::git

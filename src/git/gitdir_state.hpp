// What a worktree's git directory says besides the index: HEAD, an operation in progress, and which
// entries of the shared stash are of its branch. Read by careful opens only.
#pragma once

#include <remora/git/manifest.hpp>
#include <utility>
#include <vector>

#include "git/careful.hpp"

namespace remora::git {

struct head_reading {
  head_state head;
  std::string bytes;  ///< of the file, to see it move
  bool readable = false;
};

/// `readable` is false where HEAD is no regular file, garbage, or names what is not there.
head_reading read_head(const repository& repo, int git_dir);

using operation_files = std::vector<std::pair<std::string, std::string>>;

/// Sorted by name. What cannot be read or is over 1 MiB is added to `left_out` as `.git/<name>`.
operation_files read_operation(int git_dir, std::vector<omission>& left_out);

/// True for a path that `read_operation` can return: nothing else is restored.
bool is_operation_path(std::string_view path);

/// The commits that an operation in progress names.
std::vector<oid> operation_commits(const operation_files& files);

/// Names of what belongs to operations, for removing what another one left.
void remove_operation(int git_dir);

/// Newest first, as `git stash list`.
std::vector<oid> read_stashes(const repository& repo, const std::string& branch);

}  // namespace remora::git

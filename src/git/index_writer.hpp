// A worktree's index, after its files were restored.
#pragma once

#include "git/index_view.hpp"

namespace remora::git {

/// What an index with HEAD's tree (zero: no commit yet) and `state` over it has, in git's order.
/// What git would not stage (names of its own, a path twice, one below a file) is left out, and
/// added to `refused`. Errors: those of reading trees.
result<std::vector<index_entry>> staged_entries(const repository& repo, const oid& head_tree,
                                                const index_state& state,
                                                std::vector<omission>& refused);

/// Replaces the index in `git_dir` by `entries`, with the stats of the files in `now` that are what
/// their entry says. `old`: the index that is there, not released. Errors: errno.
result<void> write_index(int root, int git_dir, const std::vector<index_entry>& entries,
                         const directory& now, const index_view& old);

}  // namespace remora::git

// Which commits a record must keep reachable: a worktree's HEAD, its operation in progress and its
// stash entries name commits that no ref may name tomorrow.
#pragma once

#include <remora/checkpoint/store.hpp>

namespace remora::checkpoint {

struct kept_commits {
  std::vector<git::oid> keep;        ///< in order, each once; adopted by the writer
  std::vector<git::oid> unreadable;  ///< named, but they or what they name are not in the database
};

/// `before`: the previous record; what it keeps is durable already.
/// Errors: errno. A commit that an agent broke costs that commit, never the checkpoint.
result<kept_commits> find_kept(const git::repository& repo, git::object_writer& objects,
                               const request& r, const std::optional<record>& before);

}  // namespace remora::checkpoint

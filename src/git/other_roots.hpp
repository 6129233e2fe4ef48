// What git names outside of what `rev-list --all --reflog --indexed-objects` starts from.
#pragma once

#include <filesystem>
#include <optional>
#include <remora/git/oid.hpp>
#include <vector>

namespace remora::git {

/// Ids in the files of operations in progress (`MERGE_HEAD`, `MERGE_AUTOSTASH`, a rebase's), in
/// refs that a worktree has for itself (`refs/bisect/`) and in an index that is being written, of
/// every worktree. What a git prunes only after two weeks is at stake there. Not all need name an
/// object. Nothing: an index in the making cannot be read yet. Errors: errno.
result<std::optional<std::vector<oid>>> other_roots(const std::filesystem::path& common_dir);

}  // namespace remora::git

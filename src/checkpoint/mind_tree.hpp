// The mind as a git tree (docs/checkpoint-format.md).
#pragma once

#include <remora/checkpoint/store.hpp>
#include <unordered_set>

namespace remora::checkpoint {

/// Writes the mind of `r` through `objects`; its tree. `before`: the mind tree whose transcript it
/// continues. `unreadable`: commits that were named and cannot be kept, for `index.json`.
/// Errors: errno, errc::corrupt (the tree of `before`).
result<git::oid> write_mind(const git::repository& repo, git::object_writer& objects,
                            const request& r, const std::optional<git::oid>& before,
                            const std::vector<git::oid>& unreadable);

/// One file of a mind tree. Errors: errc::corrupt, also where it is not there.
result<std::string> read_file(const git::repository& repo, const git::oid& mind,
                              std::string_view name);

/// `manifest.json`, `index.json` and `gitdir/`: a snapshot but for its tree. Errors: errc::corrupt,
/// errc::unsupported (a newer schema).
result<git::snapshot> read_worktree_state(const git::repository& repo, const git::oid& mind);

/// The blobs below `index/`: what was staged and could be kept.
result<std::unordered_set<git::oid>> staged_blobs(const git::repository& repo,
                                                  const git::oid& mind);

/// One stream (`out`, `err`, `times`) of one attempt: number of the piece and its blob, in order.
using piece_list = std::vector<std::pair<std::uint32_t, git::oid>>;
result<piece_list> list_pieces(const git::repository& repo, const git::oid& mind,
                               attempt_no attempt, std::string_view stream);
/// The attempts that have a transcript, in order.
result<std::vector<attempt_no>> list_attempts(const git::repository& repo, const git::oid& mind);

}  // namespace remora::checkpoint

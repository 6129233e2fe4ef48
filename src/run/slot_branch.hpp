// The task's branch, before a new slot checks it out: git refuses one that another worktree has.
#pragma once

#include <remora/run/git_jobs.hpp>

namespace remora::run {

/// Takes `r.branch` from where a crash or a quarantine left it and sets it to its base. It is not
/// deleted: that takes the lock of packed-refs, which may be a dead git's (G6). Returns what is
/// worth a warning, or nothing. Errors: errc::repository where the user has it checked out.
result<std::string> free_branch(git::repository& repo, const checkpoint::store& store,
                                const slot_request& r);

/// Whether `root` is there and, as far as git's books say, was made for `branch`: somebody may have
/// removed it, and another task has got its number, or is about to. Errors: errno.
result<bool> is_slot_of(const git::repository& repo, const std::filesystem::path& root,
                        const std::string& branch);

/// Before a slot is gone on in: where `r.branch` names no commit any more, or a damaged one, it
/// gets the checkpoint's, without which its git could make no commit. Returns as `free_branch`.
result<std::string> mend_branch(git::repository& repo, const checkpoint::store& store,
                                const slot_request& r);

}  // namespace remora::run

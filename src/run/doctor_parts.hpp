// What `examine` is made of. Private to the run room.
#pragma once

#include <remora/checkpoint/store.hpp>
#include <remora/run/doctor.hpp>
#include <remora/run/fold.hpp>
#include <remora/run/run_lock.hpp>

namespace remora::run {

using findings = std::vector<finding>;

/// What a ref of ours holds that is no object id is found before anything reads refs.
void examine_broken_refs(git::repository& repo, findings& found);
void examine_machine(git::repository& repo, findings& found);
void examine_runs(git::repository& repo, findings& found);
void examine_checkpoints(git::repository& repo, findings& found);
void examine_worktrees(git::repository& repo, findings& found);

/// Nothing where its journal is not here or cannot be read.
std::optional<run_fold> fold_of(const git::repository& repo, const run_id& run);
/// The run's lock, for a fix; nothing where the run has no directory, and so no owner.
/// Errors: errc::held.
result<std::optional<run_lock>> own_run(const git::repository& repo, const run_id& run);

}  // namespace remora::run

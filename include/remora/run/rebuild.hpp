// A journal that was lost, made anew of what git has: the run's record (the plan, the bases, the
// tasks that ended), the newest checkpoint of each other task with the lives that its state counts,
// and the worktrees. Blocks; thread: that of the repository.
#pragma once

#include <remora/run/run_record.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// Whether the run was started in this repository and on this machine, and so could be resumed
/// here.
bool is_from_here(const git::repository& repo, const recorded_run& run);

/// The journal is there afterwards, durable, and `resume` goes on with it. Nothing else is touched,
/// but that worktrees of the run are noted as ours again where that was lost too. Where the journal
/// is there and can be read, nothing is done.
/// Returns what a person should know: what is gone on from, what could not be known.
/// Errors: errc::no_match (no record, the run has ended, or it was started in another repository or
/// on another machine), errc::held (an owner or an agent of the run still lives), errc::corrupt;
/// errno (also where the agents could not be looked for).
result<std::vector<std::string>> rebuild_journal(git::repository& repo, const run_id& run);

/// The same for a journal that cannot be read: it is kept beside the new one. Returns also its new
/// name.
result<std::vector<std::string>> replace_journal(git::repository& repo, const run_id& run);

}  // namespace remora::run

// What ends the life of what a run left behind: results, checkpoints, worktrees, the run's record.
// Nothing is deleted that is not reachable elsewhere, unless told to. Blocks; thread: that of the
// repository.
#pragma once

#include <remora/run/run_lock.hpp>
#include <remora/run/view.hpp>

namespace remora::run {

/// True if `commit` is reachable from a branch, tag or remote branch that is not remora's.
result<bool> is_merged(const git::repository& repo, const git::oid& commit);

/// What of a task would be lost with it: «result 1a2b3c (12 commits)», «checkpoint 7»; empty:
/// nothing.
result<std::string> unmerged_work(const git::repository& repo, const run_view& view,
                                  const task_fold& task);

/// Before an open task is dropped: its journal, or where that is not here its record, says that it
/// was cancelled, durably, so that no later `resume` takes it up. A task that is done: nothing.
/// `lock`: the run's, held by the caller.
result<void> cancel_task(git::repository& repo, const run_view& view, const task_fold& task,
                         const run_lock& lock);

/// Deletes a task's worktree, its branch and its checkpoint. Idempotent. The caller holds the run.
result<void> drop_task(git::repository& repo, const run_view& view, const task_fold& task);

/// Deletes all tasks of a run, its record and its directory. The caller holds the run.
result<void> remove_run(git::repository& repo, const run_view& view);

/// Where no checkpoint is left and no run is live or waits for `resume`, whose checkpoint may be
/// prepared and named by its journal alone, the packs become the user's: `git gc` may take them.
/// Best effort: what is not released now is when the next run ends.
void release_packs(const git::repository& repo);

}  // namespace remora::run

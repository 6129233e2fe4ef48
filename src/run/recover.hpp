// What each task of an interrupted run goes on from: the fold of its journal, held against the
// refs.
#pragma once

#include <remora/checkpoint/store.hpp>
#include <remora/run/task_start.hpp>

namespace remora::run {

/// What is worth a warning of how a checkpoint was published, or nothing.
std::string remark_on(const checkpoint::store::published& how, const task_id& task);

/// Brings the checkpoint refs in line with the journal (a prepared one is completed or dropped, a
/// foreign value is kept aside), then says what the newest checkpoint holds; `take_fold` says the
/// rest. Idempotent. Thread: that of `repo`; blocks.
result<recovered_task> recover_task(git::repository& repo, git::object_writer& objects,
                                    const run_id& run, const task_plan& task,
                                    const task_fold& fold);

/// A task of the rerun `run`: from the record of another run. The state becomes this run's.
result<task_start> start_from(git::repository& repo, git::object_writer& objects, const run_id& run,
                              const git::oid& record);

}  // namespace remora::run

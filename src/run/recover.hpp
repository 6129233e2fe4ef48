// What each task of an interrupted run goes on from: the fold of its journal, held against the
// refs.
#pragma once

#include <remora/run/fold.hpp>

#include "run/task_runner.hpp"

namespace remora::run {

struct recovered_task {
  task_start start;
  std::vector<std::string> remarks;
};

/// Brings the checkpoint refs in line with the journal (a prepared one is completed or dropped, a
/// foreign value is kept aside), then says where the task goes on. Idempotent. Thread: that of
/// `repo`; blocks.
result<recovered_task> recover_task(git::repository& repo, git::object_writer& objects,
                                    const run_id& run, const task_plan& task,
                                    const task_fold& fold);

/// A task of the rerun `run`: from the record of another run. The state becomes this run's.
result<task_start> start_from(git::repository& repo, git::object_writer& objects, const run_id& run,
                              const git::oid& record);

}  // namespace remora::run

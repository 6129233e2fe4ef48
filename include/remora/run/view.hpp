// What people ask of runs, live or over, here or fetched from elsewhere: found by name, folded into
// one shape. Reads only. Blocks; thread: that of the repository.
#pragma once

#include <remora/run/fold.hpp>
#include <remora/run/run_record.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::run {

/// Every run with a record or a journal here, newest first.
result<std::vector<run_id>> all_runs(const git::repository& repo);

/// The second in a run's id.
wall_time started_at(const run_id& id);

/// An id for a run that begins now. Of two that begin in one second the later one sorts behind the
/// other, so that `last` is the last and a rerun is younger than what it continues.
result<run_id> next_id(const git::repository& repo, wall_time now);

/// `last`, an id, or a unique beginning or ending of one. Errors: errc::no_match, errc::ambiguous
/// (naming them).
result<run_id> find_run(const git::repository& repo, std::string_view selector);

/// `RUN`, `RUN/TASK`, `RUN/TASK@N`; `@-1` is the newest checkpoint, `@-2` the one before.
struct selection {
  run_id run;
  std::optional<task_id> task;
  std::optional<std::int64_t> checkpoint;
};
/// Errors: as `find_run`; errc::usage for the form, errc::no_match for a task that the run does not
/// have.
result<selection> select(const git::repository& repo, std::string_view selector);

struct run_view {
  run_id id;
  run_fold fold;
  bool live = false;   ///< some process works on it now
  bool local = false;  ///< it was started here: `resume` can go on
  /// `running`, `succeeded`, `failed`, `interrupted` (something is left to resume or rerun).
  std::string state() const;
};

/// From the journal here, else the recorded one, else what the record says of tasks that ended.
/// Errors: errc::no_match, errc::corrupt.
result<run_view> load_run(const git::repository& repo, const run_id& id);

/// All that is known of a run, in order: the journal here, else the recorded one.
/// Errors: errc::no_match (it was cut off on another machine), errc::corrupt.
result<std::vector<record>> load_records(const git::repository& repo, const run_id& id);

/// The record of checkpoint `n` of a task (negative: from the newest). Errors: errc::no_match.
result<checkpoint::record> find_checkpoint(const checkpoint::store& store, const run_id& run,
                                           const task_id& task, std::int64_t n);

}  // namespace remora::run

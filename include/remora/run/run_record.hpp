// The run's record in git, refs/remora/runs/<run>: one commit before the first task starts, one at
// each task's end, one at the run's end (docs/checkpoint-format.md). Git is the canonical store of
// what is over: no index file, no database; so a clone that fetched refs/remora/* can list, show
// and rerun. Blocks; thread: that of the repository.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <remora/checkpoint/store.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/plan.hpp>
#include <remora/run/run_lock.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// Writes the commits of one run. The caller serialises its calls. What one that failed was to
/// record is not recorded by the next, since its objects may be nowhere; but where only the sync of
/// the moved ref failed.
class run_record_writer {
 public:
  /// `lock`: looked at before the ref is moved (errc::held); nothing: nobody may contest it.
  run_record_writer(git::repository& repo, git::object_writer& objects, run_id run,
                    const run_lock* lock = nullptr);

  /// The first commit. `run_json`: what `run_started` says, `prompts` excepted; `parents`: bases
  /// and, of a rerun, the old run's record. Durable on return. Errors: errc::repository (a name
  /// clash), errno.
  result<void> start(const boost::json::object& run_json, const plan& p,
                     std::vector<git::oid> parents);
  /// Goes on with the record that is there (resume).
  result<void> open();
  bool has_task(const task_id& task) const { return said_.tasks.contains(task.str()); }
  /// `task`: the payload of `task_ended`. `record`: the newest checkpoint, whose state, prompt and
  /// transcript are named again (the same objects); `result`: a commit to keep reachable.
  result<void> task_ended(const task_id& task, const boost::json::object& payload,
                          const std::optional<git::oid>& record,
                          const std::optional<git::oid>& result);
  /// The last commit: `run.json` with `ended`, and the journal.
  result<void> finish(const boost::json::object& ended, std::string_view journal);

 private:
  struct content {
    boost::json::object run;
    std::map<std::string, git::tree_entry> top;    ///< entries of the tree, by name
    std::map<std::string, git::tree_entry> tasks;  ///< entries of `tasks/`
  };

  result<void> commit(content next, const std::string& subject, std::vector<git::oid> parents);

  git::repository& repo_;
  git::object_writer& objects_;
  run_id run_;
  const run_lock* lock_;
  git::oid tip_;  ///< what the ref holds; zero: nothing yet
  content said_;  ///< by the tip
};

/// What the record of a run says.
struct recorded_run {
  std::string id;
  git::oid tip;
  boost::json::object run;                           ///< run.json
  std::map<std::string, boost::json::object> tasks;  ///< task.json of those that ended
  bool ended() const { return run.contains("ended"); }
};

/// Errors: errc::no_match, errc::corrupt, errc::unsupported (a newer schema).
result<recorded_run> read_run(const git::repository& repo, const run_id& run);
/// The ids that have a record, newest first.
result<std::vector<run_id>> recorded_runs(const git::repository& repo);
/// `tasks/<task>/<name>` of the record: `state.json`, `prompt.md`, `transcript/…`; nothing where
/// absent.
result<std::optional<std::string>> read_task_file(const git::repository& repo,
                                                  const recorded_run& run, std::string_view task,
                                                  std::string_view name);

}  // namespace remora::run

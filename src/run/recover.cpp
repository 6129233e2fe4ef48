#include "run/recover.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <filesystem>

namespace remora::run {
namespace {

result<void> take_checkpoint_of(git::repository& repo, checkpoint::store& store, const git::oid& id,
                                task_start& start) {
  REMORA_TRY(const checkpoint::record record, checkpoint::read_record(repo, id));
  start.record = id;
  start.number = record.number;
  start.base = record.base;
  REMORA_TRY(const git::commit_info base, repo.read_commit(record.base));
  start.changed = record.files_tree != base.tree || record.head.commit != record.base;
  start.same_run = true;
  REMORA_TRY(const std::string state, store.read_state(record));
  REMORA_TRY(start.mind, agent::state::from_json(state));
  return {};
}

/// The state as the run `run` goes on with it.
result<agent::state> adopt(const agent::state& mind, const run_id& run) {
  boost::json::value v = boost::json::parse(mind.to_json());
  v.as_object()["run"] = run.str();
  return agent::state::from_json(boost::json::serialize(v));
}

/// The checkpoint that the journal says is the newest, or an older one where that is damaged.
result<void> take_newest(git::repository& repo, checkpoint::store& store, const run_id& run,
                         const task_plan& task, const task_fold& fold, recovered_task& r) {
  const std::optional<checkpoint_mark>& newest = fold.saved;
  if (fold.prepared) {
    REMORA_TRY(const bool there,
               store.recover(run, task.id, fold.prepared->record, fold.prepared->old));
    if (there) return take_checkpoint_of(repo, store, fold.prepared->record, r.start);
    r.remarks.push_back(
        fmt::format("checkpoint {} had not been completed", fold.prepared->number.value()));
  }
  if (!newest) return {};
  REMORA_TRY(const bool there, store.recover(run, task.id, newest->record, newest->old));
  if (there) return take_checkpoint_of(repo, store, newest->record, r.start);
  const git::oid known[] = {newest->record};
  const auto older = store.newest_readable(run, task.id, known);
  if (!older)
    return fail(
        errc::corrupt,
        fmt::format("checkpoint {} of task '{}' is damaged, and no older one is whole: 'git "
                    "fsck' names what is missing, 'remora rerun --clean' starts it anew",
                    newest->number.value(), task.id.str()));
  r.remarks.push_back(fmt::format("checkpoint {} of task '{}' is damaged; it goes on from {}",
                                  newest->number.value(), task.id.str(), older->number.value()));
  REMORA_CHECK(take_checkpoint_of(repo, store, older->commit, r.start));
  r.start.number = newest->number;  // numbers go on
  return {};
}

}  // namespace

result<recovered_task> recover_task(git::repository& repo, git::object_writer& objects,
                                    const run_id& run, const task_plan& task,
                                    const task_fold& fold) {
  checkpoint::store store(repo, objects, task.branch);
  recovered_task r;
  r.start.base = fold.base;
  r.start.published = fold.published;
  r.start.published_whole = fold.published_whole;
  if (fold.published.is_zero()) {
    REMORA_CHECK(take_newest(repo, store, run, task, fold, r));
  } else if (fold.saved) {  // it may be pruned already, and nothing of it is needed
    (void)take_checkpoint_of(repo, store, fold.saved->record, r.start);
  }
  if (!fold.attempt_is_open()) {  // nobody of ours can hold it: the agents are gone, or never were
    const std::string branch = checkpoint::task_branch(run, task.id);
    std::error_code ec;
    if (std::filesystem::remove(repo.common_dir() / (branch + ".lock"), ec))
      r.remarks.push_back(fmt::format("removed the stale lock of {}", branch));
  }
  return r;
}

result<task_start> start_from(git::repository& repo, git::object_writer& objects, const run_id& run,
                              const git::oid& record) {
  checkpoint::store store(repo, objects, true);
  task_start start;
  REMORA_CHECK(take_checkpoint_of(repo, store, record, start));
  start.same_run = false;
  start.old_run = record;
  REMORA_TRY(start.mind, adopt(*start.mind, run));
  start.made = start.mind->attempts().empty() ? 0 : start.mind->attempts().back().number;
  return start;
}

}  // namespace remora::run

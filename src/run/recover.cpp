#include "run/recover.hpp"

#include <fmt/format.h>

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
  REMORA_TRY(const std::string state, store.read_state(record));
  REMORA_TRY(start.mind, agent::state::from_json(state));
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
  std::optional<checkpoint_mark> newest = fold.saved;
  if (fold.prepared && fold.published.is_zero()) {
    REMORA_TRY(const bool there,
               store.recover(run, task.id, fold.prepared->record, fold.prepared->old));
    if (there)
      newest = fold.prepared;
    else
      r.remarks.push_back(
          fmt::format("checkpoint {} had not been completed", fold.prepared->number.value()));
  } else if (newest && fold.published.is_zero()) {
    REMORA_TRY(const bool there, store.recover(run, task.id, newest->record, newest->old));
    if (!there)
      return fail(errc::corrupt, fmt::format("checkpoint {} of task '{}' is damaged: objects are "
                                             "missing; 'git fsck' names them, 'remora rerun "
                                             "--clean' starts the task anew",
                                             newest->number.value(), task.id.str()));
  }
  if (newest) {
    const auto taken = take_checkpoint_of(repo, store, newest->record, r.start);
    // Its result is durable: then the checkpoint may be pruned already, and nothing of it is
    // needed.
    if (!taken && fold.published.is_zero()) return taken.error();
    r.start.same_run = true;
  }
  r.start.counted = fold.counted();
  r.start.made = fold.attempts.empty() ? 0 : fold.attempts.back().number.value();
  if (!fold.quarantined && !fold.slot.empty() && std::filesystem::exists(fold.slot))
    r.start.slot = fold.slot;
  if (fold.attempt_is_open()) {
    r.start.orphaned = fold.attempts.back().number;
    if (r.start.slot.empty())
      r.remarks.push_back(fmt::format(
          "the worktree of task '{}' is gone; it goes on from its last checkpoint", task.id.str()));
  }
  return r;
}

result<task_start> start_from(git::repository& repo, git::object_writer& objects,
                              const git::oid& record) {
  checkpoint::store store(repo, objects, true);
  task_start start;
  REMORA_CHECK(take_checkpoint_of(repo, store, record, start));
  start.made = start.mind->attempts().empty() ? 0 : start.mind->attempts().back().number;
  return start;
}

}  // namespace remora::run

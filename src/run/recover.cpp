#include "run/recover.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <iterator>
#include <remora/core/posix.hpp>
#include <remora/git/packs.hpp>

#include "run/read_mended.hpp"
#include "run/slot_branch.hpp"

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

/// `mark` is made the task's checkpoint, if it is all there. What its ref held instead is remarked.
result<bool> put_back(checkpoint::store& store, const run_id& run, const task_plan& task,
                      const checkpoint_mark& mark, recovered_task& r) {
  checkpoint::store::published how;
  REMORA_TRY(const bool there, store.recover(run, task.id, mark.record, mark.old, &how));
  if (std::string remark = remark_on(how, task.id); !remark.empty())
    r.remarks.push_back(std::move(remark));
  return there;
}

/// `mark`, or where not all of it can be read any more (G13) the newest one that is whole.
result<void> take_whole(git::repository& repo, checkpoint::store& store, const run_id& run,
                        const task_plan& task, const task_fold& fold, const checkpoint_mark& mark,
                        recovered_task& r) {
  std::vector<git::oid> known(fold.records.rbegin(), fold.records.rend());
  known.insert(known.begin(), mark.record);
  auto whole = store.newest_readable(run, task.id, known);
  if (!whole || whole->commit != mark.record) {
    REMORA_TRY(std::vector<std::string> mended, git::mend_packs(repo));
    std::ranges::move(mended, std::back_inserter(r.remarks));
    whole = store.newest_readable(run, task.id, known);  // an index that was lost hid some
  }
  // Only now: it reads git's entry of every worktree.
  bool in_place = false;
  if (!whole) {
    REMORA_TRY(const bool there,
               is_slot_of(repo, fold.slot, checkpoint::task_branch(run, task.id)));
    in_place = can_go_on_in_slot(fold, there, boot_id());
  }
  if (in_place && repo.read_commit(fold.base)) {
    r.remarks.push_back(
        fmt::format("checkpoint {} of task '{}' is damaged, and no older one is whole: it goes on "
                    "with what is in {}",
                    mark.number.value(), task.id.str(), fold.slot));
    r.start.number = mark.number;
    return {};
  }
  if (!whole)
    return fail(
        errc::corrupt,
        fmt::format("checkpoint {} of task '{}' is damaged, and no older one is whole: 'git "
                    "fsck' names what is missing, 'remora rerun --clean' starts it anew",
                    mark.number.value(), task.id.str()));
  if (whole->commit != mark.record)
    r.remarks.push_back(fmt::format("checkpoint {} of task '{}' is damaged; it goes on from {}",
                                    mark.number.value(), task.id.str(), whole->number.value()));
  REMORA_CHECK(take_checkpoint_of(repo, store, whole->commit, r.start));
  r.start.number = mark.number;  // numbers go on
  return {};
}

/// The checkpoint that the journal says is the newest, or an older one where that is damaged.
result<void> take_newest(git::repository& repo, checkpoint::store& store, const run_id& run,
                         const task_plan& task, const task_fold& fold, recovered_task& r) {
  if (fold.prepared) {
    REMORA_TRY(const bool there, put_back(store, run, task, *fold.prepared, r));
    if (there) return take_whole(repo, store, run, task, fold, *fold.prepared, r);
    r.remarks.push_back(
        fmt::format("checkpoint {} had not been completed", fold.prepared->number.value()));
  }
  if (!fold.saved) return {};
  REMORA_CHECK(put_back(store, run, task, *fold.saved, r));
  return take_whole(repo, store, run, task, fold, *fold.saved, r);
}

}  // namespace

std::string remark_on(const checkpoint::store::published& how, const task_id& task) {
  if (how.damaged)
    return fmt::format(
        "the checkpoint ref of {} held {}, of which objects are damaged or missing; {}", task.str(),
        how.damaged->hex(), how.kept ? "its files were kept at " + *how.kept : "it is not kept");
  if (how.kept)
    return fmt::format(
        "the checkpoint ref of {} held a value that remora did not put there; it was kept at {}",
        task.str(), *how.kept);
  return {};
}

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
  } else if (fold.saved) {
    const auto taken = read_mended(
        repo, [&] { return take_checkpoint_of(repo, store, fold.saved->record, r.start); });
    // It may be pruned already where the result is whole, and nothing of it is needed.
    if (!taken && !fold.published_whole && !taken.error().is(errc::corrupt)) return taken.error();
  }
  // Nobody of ours can hold it: the agents are gone with the machine, or were seen to be.
  const bool restarted = !fold.slot.empty() && fold.slot_boot != boot_id();
  if ((!fold.attempt_is_open() && !fold.quarantined) || restarted) {
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

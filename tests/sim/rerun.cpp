// What did not succeed as a new run: the engine's `plan_rerun` reads a repository.
#include "sim/checker.hpp"
#include "sim/world.hpp"

namespace remora::sim {
namespace {

/// Its result, where the run's record has one.
git::oid result_of(const world& w, const task_id& task) {
  const auto found = w.disk.record.tasks.find(task.str());
  return found == w.disk.record.tasks.end() ? git::oid() : found->second.result;
}

void take_next_task(const world& w, std::size_t index, run::new_run& next) {
  run::task_plan t = w.plan.tasks[index];
  std::erase_if(t.after, [&](const task_id& before) { return !result_of(w, before).is_zero(); });
  if (t.base_task && !result_of(w, *t.base_task).is_zero()) {
    t.base = result_of(w, *t.base_task).hex();
    t.base_task.reset();
  }
  if (const git::oid& newest = w.disk.wip[index].visible; !newest.is_zero()) {
    next.records.emplace(t.id.str(), newest);
    t.base = w.disk.checkpoints.at(newest).base.hex();
    t.base_task.reset();
  }
  next.plan.tasks.push_back(std::move(t));
}

/// What there is of a run's own: the next one has another journal, record, branches.
void begin_own_part(sim::disk& d) {
  d.old_wip = std::exchange(d.wip, std::vector<ref>(d.wip.size()));
  d.attempts.clear();
  d.record = {};
  d.journal_there = false;
  d.journal.clear();
  d.synced = 0;
  d.removed_journal.clear();
  for (auto& [name, slot] : d.slots) slot.detached = true;
}

}  // namespace

bool world::begin_rerun() {
  if (is_rerun || !check->run_announced() || !disk.record.started) return false;
  run::new_run next{.id = run_id::parse("20260102-000001-aaaa").value(),
                    .plan = plan,
                    .continues = what.id,
                    .records = {}};
  next.plan.tasks.clear();
  for (std::size_t i = 0; i < plan.tasks.size(); ++i) {
    if (!result_of(*this, plan.tasks[i].id).is_zero()) continue;
    const git::oid& newest = disk.wip[i].visible;
    if (!newest.is_zero() && !disk.checkpoints.contains(newest)) return false;
    take_next_task(*this, i, next);
  }
  if (next.plan.tasks.empty()) return false;
  what = std::move(next);
  is_rerun = true;
  begin_own_part(disk);
  for (const run::task_plan& t : what.plan.tasks) disk.result[index_of(t.id.str())] = {};
  for (const auto& p : processes) {  // of another run, in worktrees of its own
    p->name = "old." + p->name;
    p->stray = true;
  }
  calm = false;
  faults_left = static_cast<std::uint32_t>(random.between(1, 12));
  check->rerun_begins();
  return true;
}

}  // namespace remora::sim

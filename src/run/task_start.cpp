#include <fmt/format.h>

#include <remora/run/task_start.hpp>

namespace remora::run {
namespace {

/// A slot in which an agent was is gone on in; another one is no use.
void take_slot(const task_fold& fold, bool slot_there, task_start& start) {
  if (fold.slot.empty()) return;
  if (fold.quarantined)
    start.abandoned = fold.slot;
  else if (fold.slot_used && slot_there)
    start.slot = fold.slot;
  else
    start.discard = fold.slot;
}

}  // namespace

void take_fold(const task_fold& fold, bool slot_there, recovered_task& r) {
  task_start& start = r.start;
  start.result_is_due = fold.result_is_due() && start.record == fold.saved->record;
  start.counted = fold.counted();
  start.made = fold.attempts.empty() ? 0 : fold.attempts.back().number.value();
  take_slot(fold, slot_there, start);
  if (!fold.attempt_is_open()) return;
  start.orphaned = fold.attempts.back().number;
  if (start.slot.empty())
    r.remarks.push_back(fmt::format(
        "the worktree of task '{}' is gone; it goes on from its last checkpoint", fold.id));
}

}  // namespace remora::run

#include <fmt/format.h>

#include <remora/run/task_start.hpp>

namespace remora::run {
namespace {

/// A slot in which an agent was is gone on in; another one is no use. After a restart of the
/// machine it is not: agents do not sync what they write, and a power cut leaves such files empty.
void take_slot(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  if (fold.slot.empty()) return;
  const bool needed = !start.result_is_due && start.published.is_zero();
  const bool restarted = needed && fold.slot_boot != boot;
  if (fold.quarantined || (fold.slot_used && slot_there && restarted))
    start.abandoned = fold.slot;
  else if (fold.slot_used && slot_there)
    start.slot = fold.slot;
  else
    start.discard = fold.slot;
  if (restarted && !start.abandoned.empty())
    r.remarks.push_back(
        fmt::format("the machine was restarted: files in {} may be incomplete; they are kept, and "
                    "the task goes on in a new worktree from its last checkpoint",
                    fold.slot));
}

}  // namespace

void take_fold(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  start.result_is_due = fold.result_is_due() && start.record == fold.saved->record;
  start.counted = fold.counted();
  start.made = fold.attempts.empty() ? 0 : fold.attempts.back().number.value();
  take_slot(fold, slot_there, boot, r);
  if (!fold.attempt_is_open()) return;
  start.orphaned = fold.attempts.back().number;
  if (start.slot.empty() && start.abandoned.empty())
    r.remarks.push_back(fmt::format(
        "the worktree of task '{}' is gone; it goes on from its last checkpoint", fold.id));
}

}  // namespace remora::run

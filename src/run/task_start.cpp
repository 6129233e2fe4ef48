#include <fmt/format.h>

#include <remora/run/task_start.hpp>

namespace remora::run {
namespace {

/// A slot in which no agent was is no use. One of which nothing is needed any more is freed as if
/// it were gone on in.
void take_slot(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  if (fold.slot.empty()) return;
  const bool needed = !start.result_is_due && start.published.is_zero();
  const bool restarted = needed && fold.slot_boot != boot;
  if (can_go_on_in_slot(fold, slot_there, needed ? boot : fold.slot_boot))
    start.slot = fold.slot;
  else if (fold.quarantined || (fold.slot_used && slot_there))
    start.abandoned = fold.slot;
  else
    start.discard = fold.slot;
  if (restarted && !start.abandoned.empty())
    r.remarks.push_back(
        fmt::format("the machine was restarted: files in {} may be incomplete; they are kept, and "
                    "the task goes on in a new worktree from its last checkpoint",
                    fold.slot));
}

}  // namespace

bool can_go_on_in_slot(const task_fold& fold, bool slot_there, std::string_view boot) {
  return fold.slot_used && slot_there && !fold.quarantined && fold.slot_boot == boot;
}

void take_fold(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  start.result_is_due = fold.result_is_due() && start.record == fold.saved->record;
  const bool prepared = fold.prepared && start.record == fold.prepared->record;
  start.chain_bytes = prepared ? fold.prepared->chain_bytes(fold.chain_bytes) : fold.chain_bytes;
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

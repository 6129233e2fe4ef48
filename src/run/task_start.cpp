#include <fmt/format.h>

#include <remora/core/clock.hpp>
#include <remora/run/task_start.hpp>

#include "run/budget.hpp"

namespace remora::run {
namespace {

/// An agent was in the slot, and nobody but its agents has touched it since.
bool is_as_left(const task_fold& fold, bool slot_there, std::string_view boot) {
  return fold.slot_used && slot_there && fold.slot_boot == boot;
}

/// A slot in which no agent was is no use. One of which nothing is needed any more is freed as if
/// it were gone on in. One that was left to its agents is gone on in if they are gone by now.
void take_slot(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  if (fold.slot.empty()) return;
  const bool needed = !start.result_is_due && start.published.is_zero();
  const bool restarted = needed && fold.slot_boot != boot;
  const bool was_left = needed && fold.quarantined && is_as_left(fold, slot_there, boot);
  if (was_left || can_go_on_in_slot(fold, slot_there, needed ? boot : fold.slot_boot)) {
    start.slot = fold.slot;
    start.quarantined = was_left;
  } else if (fold.quarantined || (fold.slot_used && slot_there)) {
    start.abandoned = fold.slot;
  } else {
    start.discard = fold.slot;
  }
  if (restarted && !start.abandoned.empty())
    r.remarks.push_back(
        fmt::format("the machine was restarted: files in {} may be incomplete; they are kept, and "
                    "the task goes on in a new worktree from its last checkpoint",
                    fold.slot));
}

/// How it ended: of its checkpoint, which was made before, the journal's word is the last.
void take_end(const attempt_fold& last, agent::state& mind) {
  const auto verdict = agent::parse_verdict(last.verdict);
  const auto at = parse_iso8601(last.ended);
  if (!verdict || !at || mind.attempts().empty()) return;
  if (mind.attempts().back().number == last.number.value())
    mind.end_attempt({*verdict, last.detail, last.text}, *at);
}

}  // namespace

bool can_go_on_in_slot(const task_fold& fold, bool slot_there, std::string_view boot) {
  return !fold.quarantined && is_as_left(fold, slot_there, boot);
}

void take_fold(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r) {
  task_start& start = r.start;
  start.result_is_due = fold.result_is_due() && start.record == fold.saved->record;
  const bool prepared = fold.prepared && start.record == fold.prepared->record;
  start.chain_bytes = prepared ? fold.prepared->chain_bytes(fold.chain_bytes) : fold.chain_bytes;
  start.counted = fold.counted();
  start.agent = fold.agents_passed;
  const spending told = spent_by(fold);
  start.tokens = told.tokens;
  start.cost_usd = told.cost_usd;
  start.made = fold.attempts.empty() ? 0 : fold.attempts.back().number.value();
  take_slot(fold, slot_there, boot, r);
  if (fold.attempts.empty()) return;
  if (!fold.attempt_is_open()) {
    if (start.mind) take_end(fold.attempts.back(), *start.mind);
    return;
  }
  start.orphaned = fold.attempts.back().number;
  if (start.slot.empty() && start.abandoned.empty())
    r.remarks.push_back(fmt::format(
        "the worktree of task '{}' is gone; it goes on from its last checkpoint", fold.id));
}

}  // namespace remora::run

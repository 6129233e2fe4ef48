// The steps of ending an attempt: freeze, save, signal, thaw, kill, wait until nobody is left,
// save.
#include <remora/supervise/task_machine.hpp>
#include <utility>

#include "supervise/words.hpp"

namespace remora::supervise {

using agent::verdict;
using enum phase;

void task_machine::decide(agent::outcome why, std::string reason) {
  because(words_for(why));
  verdict_ = std::move(why);
  reason_ = std::move(reason);
  cadence_.attempt_ends();
}

agent::outcome task_machine::stopped() const {
  return {stop_ == stop_kind::cancel ? verdict::cancelled : verdict::interrupted, {}, {}};
}

std::string task_machine::stopped_reason() const {
  return stop_ == stop_kind::cancel ? "cancelled" : "interrupted";
}

void task_machine::freeze_tree(time_point now) {
  actions_.emplace_back(freeze{});
  until_ = now + limits_.freeze;
  phase_ = freezing;
}

void task_machine::save_frozen(bool whole, time_point now) {
  emit_save(false, !whole, limits_.snapshot, now);
}

// The signal is queued first: it must be the first thing that a thawed agent meets.
void task_machine::ask_to_end(time_point now) {
  actions_.emplace_back(send_signal{});
  actions_.emplace_back(thaw{});
  until_ = now + limits_.grace;
  phase_ = grace;
}

// KILL acts on stopped and on running ones, so nothing is frozen first.
void task_machine::kill_tree(time_point now) {
  actions_.emplace_back(kill{});
  until_ = now + limits_.empty;
  phase_ = emptying;
}

void task_machine::save_final(time_point now) {
  phase_ = saving;
  emit_save(true, false, limits_.saving, now);
}

void task_machine::emit_save(bool final, bool unfrozen, milliseconds limit, time_point now) {
  awaited_ = next_token_++;
  actions_.emplace_back(save{.token = *awaited_,
                             .reason = reason_,
                             .final = final,
                             .unfrozen = unfrozen,
                             .ended = verdict_});
  cadence_.started_another(now);
  until_ = now + limit;
}

void task_machine::save_answered(std::uint64_t token, bool ok, std::string why, time_point now) {
  if (awaited_ != token) return;
  if (phase_ != freezing && phase_ != saving) return;
  awaited_.reset();
  if (!ok) because("not saved: " + why);
  if (phase_ == freezing) return ask_to_end(now);
  final_saved_ = ok;
  save_error_ = std::move(why);
  if (!ok && progress_ == progress::none) progress_ = progress::unknown;
  settle(now);
}

}  // namespace remora::supervise

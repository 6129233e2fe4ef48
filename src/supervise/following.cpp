// What follows an attempt: verification, the result, a successor, or the end.
#include <fmt/format.h>

#include <remora/core/units.hpp>
#include <remora/supervise/task_machine.hpp>
#include <utility>

#include "supervise/words.hpp"

namespace remora::supervise {

using agent::verdict;
using enum phase;

void task_machine::settle(time_point now) {
  until_.reset();
  if (verdict_->verdict == verdict::completed) return settle_completed();
  conclude(*verdict_, now);
}

// A result is made of the final checkpoint: without one there is nothing to verify or to publish
// but an older state of the files.
void task_machine::settle_completed() {
  if (!final_saved_) {
    last_ = {verdict::completed, "not_saved", save_error_};
    close_attempt(last_, false);
    return end(task_outcome::interrupted);
  }
  if (stop_ == stop_kind::cancel || (stop_ && limits_.verifies)) return halt();
  if (!limits_.verifies) {
    if (!changed_ && verdict_->detail.empty()) verdict_->detail = "no_changes";
    return start_publishing();
  }
  // Whoever could not be killed may still write to a quarantined slot.
  if (needs_slot_) {
    actions_.emplace_back(prepare{});
    phase_ = preparing;
  } else {
    actions_.emplace_back(verify{});
    phase_ = verifying;
  }
}

void task_machine::conclude(agent::outcome o, time_point now) {
  const auto agent = chain_.agent();
  const auto next = chain_.after(o, progress_, stop_.has_value(), now);
  because(words_for(next.because.value_or(o)));
  if (next.counted) because(fmt::format("life {} of {}", chain_.counted(), limits_.attempts));
  if (chain_.agent() != agent) because("the next agent of its list");
  close_attempt(std::move(o), next.counted);
  if (next.because) last_ = *next.because;
  switch (next.then) {
    case follow::successor:
      return over_budget_ ? end_over_budget() : go_on(next.base, next.wait, now);
    case follow::interrupt:
      return end(task_outcome::interrupted);
    case follow::cancel:
      return end(task_outcome::cancelled);
    case follow::succeed:
    case follow::open_account:
    case follow::next_agent:
    case follow::fail:
      return end(task_outcome::failed);
  }
}

void task_machine::go_on(milliseconds base, milliseconds wait, time_point now) {
  if (wait == milliseconds::zero()) return next_attempt();
  because("after " + format_duration(wait));
  actions_.emplace_back(back_off{base});
  until_ = now + wait;
  phase_ = waiting;
}

// In place: the slot is as the last attempt left it, unless it must not be used again. The next
// step of one that still waits for its verification is a slot, too.
void task_machine::next_attempt() {
  until_.reset();
  if (over_budget_ && !open_) return end_over_budget();  // its verification costs nothing
  if (!needs_slot_) return start_attempt();
  actions_.emplace_back(prepare{});
  phase_ = preparing;
}

void task_machine::start_attempt() {
  if (over_budget_) return end_over_budget();
  actions_.emplace_back(ask{chain_.agent()});
  phase_ = asking;
}

void task_machine::start_publishing() {
  close_attempt(*verdict_, rule_of(verdict::completed).counts);
  actions_.emplace_back(publish{});
  phase_ = publishing;
}

void task_machine::close_attempt(agent::outcome o, bool counted) {
  last_ = o;
  open_ = false;
  verdict_.reset();
  actions_.emplace_back(end_attempt{std::move(o), counted, chain_.agent()});
}

void task_machine::halt() {
  if (open_)
    close_attempt(stopped(), false);
  else if (attempt_ == 0)
    last_ = stopped();
  end(task_outcome::interrupted);
}

void task_machine::end_over_budget() {
  last_ = *over_budget_;
  because(words_for(last_));
  end(task_outcome::interrupted);
}

// A person's cancel is the last word on everything but a result that is already published.
void task_machine::end(task_outcome outcome) {
  if (stop_ == stop_kind::cancel && outcome != task_outcome::succeeded)
    outcome = task_outcome::cancelled;
  until_.reset();
  actions_.emplace_back(finish{outcome, last_});
  phase_ = finished;
}

std::optional<time_point> task_machine::wake_at() const {
  return phase_ == running ? running_wake() : until_;
}

std::string_view name(task_outcome o) {
  switch (o) {
    case task_outcome::succeeded:
      return "succeeded";
    case task_outcome::failed:
      return "failed";
    case task_outcome::interrupted:
      return "interrupted";
    case task_outcome::cancelled:
      return "cancelled";
    case task_outcome::skipped:
      return "skipped";
  }
  return "";
}

}  // namespace remora::supervise

// The facts: which phase listens to which.
#include <fmt/format.h>

#include <algorithm>
#include <remora/core/units.hpp>
#include <remora/supervise/outer_limits.hpp>
#include <remora/supervise/task_machine.hpp>
#include <utility>

#include "supervise/words.hpp"

namespace remora::supervise {

using agent::verdict;
using enum phase;

namespace {

/// By a person, or by our request for a note: its success is none of the task's.
bool was_told_to_end(const agent::outcome& o) {
  return o.verdict == verdict::interrupted || o.verdict == verdict::cancelled ||
         (o.verdict == verdict::timed_out && o.detail == "soft");
}

}  // namespace

task_machine::task_machine(limits l, std::uint64_t seed)
    : limits_(l), cadence_(l.checkpoints), chain_(l, seed) {}

step task_machine::on(const fact& f, time_point now) {
  if (phase_ == finished) return {};
  const auto before = phase_;
  std::visit([&](const auto& known) { take(known, now); }, f);
  if (phase_ == running) checkpoint_if_due(now);
  step made{std::exchange(actions_, {}), wake_at(), {}};
  std::string words = std::exchange(because_, {});
  const bool woke = std::exchange(woke_, false);
  if (phase_ != before || woke || std::holds_alternative<stop>(f))
    made.decided = decision{name(f), before, phase_, std::move(words)};
  return made;
}

void task_machine::because(std::string_view words) {
  if (words.empty() || because_.ends_with(words)) return;
  if (!because_.empty()) because_ += ", ";
  because_ += words;
}

void task_machine::take(const begin& f, time_point now) {
  if (phase_ != idle) return;
  chain_.resume(f.counted, f.agent);
  attempt_ = std::max(f.made, f.counted);
  changed_ = f.changed;
  cadence_.task_began(now);
  if (f.counted > 0) because(fmt::format("{} of {} lives", f.counted, limits_.attempts));
  if (chain_.spent()) {
    last_ = {verdict::failed, "attempts", "no attempts are left: raise `attempts` to go on"};
    return end(task_outcome::failed);
  }
  next_attempt();
}

void task_machine::take(const prepared&, time_point) {
  if (phase_ != preparing) return;
  needs_slot_ = false;
  chain_.prepared();
  if (!open_) return start_attempt();
  actions_.emplace_back(verify{});
  phase_ = verifying;
}

void task_machine::take(const allowed& f, time_point) {
  if (phase_ != asking) return;
  because(f.words);
  chain_.use(f.agent);
  open_ = true;
  verdict_.reset();
  progress_ = progress::unknown;
  first_token_ = next_token_;
  actions_.emplace_back(spawn{++attempt_});
  phase_ = starting;
}

void task_machine::take(const denied& f, time_point) {
  if (phase_ != asking) return;
  last_ = f.why;
  because(words_for(last_));
  end(task_outcome::interrupted);
}

void task_machine::take(const prepare_failed& f, time_point now) {
  if (phase_ != preparing) return;
  because(words_for({f.verdict, f.detail, {}}));
  if (f.killed)
    if (const auto next = chain_.after_cut_short(); next.then == follow::successor)
      return go_on(next.base, next.wait, now);
  last_ = f.damaged ? agent::outcome{f.verdict, "damaged", f.detail}
                    : agent::outcome{f.verdict, f.detail, {}};
  if (open_) close_attempt(last_, false);
  end(f.damaged ? task_outcome::interrupted : task_outcome::failed);
}

void task_machine::take(const started& f, time_point now) {
  if (phase_ == starting) run(f.wall, now);
}

void task_machine::take(const spawn_failed& f, time_point now) {
  if (phase_ != starting) return;
  if (f.killed) return conclude({verdict::crashed, "shim", f.detail}, now);
  if (f.lacks) return conclude({verdict::crashed, "not_started", f.detail}, now);
  conclude({verdict::spawn_failed, f.detail, {}}, now);
}

void task_machine::take(const output&, time_point now) {
  sign_of_life(now);
}
void task_machine::take(const worktree_changed&, time_point now) {
  heard_ = true;
  lives(std::max(now, last_sign_));  // a retry that it announced is still to come
}
// It may hang before its first word, and turn a spinner: that is still to come.
void task_machine::take(const alive&, time_point now) {
  lives(std::max(now, last_sign_));
}

void task_machine::take(const silent&, time_point now) {
  if (phase_ != running || !answer_by_) return;
  answer_by_ = now;
  running_deadline(now);
}

void task_machine::take(const woke&, time_point now) {
  if (phase_ != running) return;
  because("the machine was suspended");
  forgive(duration::zero(), now);
  running_deadline(now);
}

void task_machine::take(const retrying& f, time_point now) {
  sign_of_life(now);
  if (phase_ == running) lives(now + f.wait);
}

void task_machine::take(const looping& f, time_point now) {
  if (phase_ != running) return;
  decide(f.met, "error loop");
  freeze_tree(now);
}

void task_machine::take(const handed_over&, time_point now) {
  if (phase_ == running) time_out("soft", "it has left a note for its successor", now);
}

void task_machine::take(const turn_ended&, time_point now) {
  sign_of_life(now);
  cadence_.turn_ended();
}

void task_machine::take(const mutated&, time_point now) {
  sign_of_life(now);
  cadence_.mutated();
}

void task_machine::take(const checkpoint_requested&, time_point now) {
  sign_of_life(now);
  cadence_.requested();
}

void task_machine::take(const frozen& f, time_point now) {
  if (phase_ == freezing && !awaited_) save_frozen(f.whole, now);
}

void task_machine::take(const exited& f, time_point now) {
  switch (phase_) {
    case starting:
      decide(f.concluded, "exit");
      return kill_tree(now);
    case running:
      decide(judge_exit(f.concluded, std::chrono::floor<milliseconds>(now - began_)), "exit");
      return kill_tree(now);
    case freezing:
      // Nobody has signalled it: that it completed at the last moment is its own doing. After a
      // signal, some exit with 0 because they were told to go.
      if (f.concluded.verdict == verdict::completed && !was_told_to_end(*verdict_))
        decide(f.concluded, "exit");
      return kill_tree(now);
    case grace:
      return kill_tree(now);
    default:
      return;
  }
}

void task_machine::take(const emptied& f, time_point now) {
  switch (phase_) {
    case starting:
    case running:
      decide({verdict::crashed, "shim", "its supervisor was lost before it told how it ended"},
             "exit");
      break;
    case freezing:
    case grace:
    case emptying:
      break;
    default:
      return;
  }
  if (!f.proven) {
    because("somebody of its tree may be left");
    actions_.emplace_back(quarantine{});
    needs_slot_ = true;
  }
  save_final(now);
}

void task_machine::take(const saved& f, time_point now) {
  const bool found = f.changed || f.progressed;
  changed_ = changed_ || f.changed;
  if (f.token >= first_token_ && progress_ != progress::some)
    progress_ = found ? progress::some : progress::none;
  cadence_.answered(f.token, true, f.took);
  save_answered(f.token, true, {}, now);
}

void task_machine::take(const save_failed& f, time_point now) {
  cadence_.answered(f.token, false, milliseconds::zero());
  needs_slot_ = needs_slot_ || f.slot_lost;
  save_answered(f.token, false, f.why, now);
}

void task_machine::take(const verified& f, time_point now) {
  if (phase_ != verifying) return;
  if (f.ok) return start_publishing();
  because("the verification failed");
  conclude({verdict::verify_failed, {}, verdict_->text}, now);
}

void task_machine::take(const published&, time_point) {
  if (phase_ == publishing) end(task_outcome::succeeded);
}

void task_machine::take(const publish_failed& f, time_point) {
  if (phase_ != publishing) return;
  because(f.why);
  last_.detail = "not_published";
  last_.text = f.why;
  end(task_outcome::interrupted);
}

void task_machine::take(const deadline&, time_point now) {
  if (phase_ == running) {
    forgive_delay(now);
    return running_deadline(now);
  }
  if (!until_ || now < *until_) return;
  switch (phase_) {
    case freezing:
      if (!awaited_) return save_frozen(false, now);
      return save_answered(*awaited_, false, "it took longer than `snapshot`", now);
    case grace:
      because(fmt::format("still there after {}", format_duration(limits_.grace)));
      return kill_tree(now);
    case emptying:
      return take(emptied{.proven = false}, now);
    case saving:
      return save_answered(*awaited_, false, "it took too long", now);
    case waiting:
      return next_attempt();
    default:
      return;
  }
}

void task_machine::take(const stop& f, time_point now) {
  if (stop_ != stop_kind::cancel) stop_ = f.kind;
  insist_ = insist_ || f.insist;
  because(f.insist ? stopped_reason() + " again" : stopped_reason());
  if (verdict_ && verdict_->verdict == verdict::interrupted) decide(stopped(), stopped_reason());
  switch (phase_) {
    case idle:
    case preparing:
    case asking:
    case verifying:
    case waiting:
      return halt();
    case running:
      decide(stopped(), stopped_reason());
      return insist_ ? kill_tree(now) : freeze_tree(now);
    case freezing:
      if (insist_) kill_tree(now);
      return;
    case grace:
      return kill_tree(now);
    default:
      return;
  }
}

void task_machine::take(const over_budget& f, time_point now) {
  if (over_budget_) return;
  over_budget_ = {verdict::budget, f.detail, f.text};
  const bool unbegun = phase_ == preparing && attempt_ == 0;
  if (phase_ == asking || unbegun || (phase_ == waiting && !open_)) return end_over_budget();
  if (phase_ == running) end_for_budget(now);
}

}  // namespace remora::supervise

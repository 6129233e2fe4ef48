// While the agent runs: signs of life, deadlines, routine checkpoints.
#include <algorithm>
#include <remora/core/units.hpp>
#include <remora/supervise/task_machine.hpp>

namespace remora::supervise {

using agent::verdict;
using enum phase;

namespace {

constexpr bool is_set(milliseconds limit) {
  return limit > milliseconds::zero();
}

/// Of a silence: each but the first tells whether the processor was used since the one before.
constexpr int looks = 4;
constexpr milliseconds longest_look{1'000};

/// A deadline that is told later than this was missed: we did not run.
constexpr milliseconds longest_delay{2'000};
/// What its connections were may be gone: so long it may take an agent to notice, and to try again.
constexpr milliseconds patience{60'000};

}  // namespace

void task_machine::run(std::optional<milliseconds> learnt, time_point now) {
  phase_ = running;
  began_ = now;
  const bool shorter = learnt && *learnt < limits_.wall;
  const milliseconds wall = shorter ? *learnt : limits_.wall;
  const milliseconds soft = shorter ? std::min(limits_.soft, wall / 5) : limits_.soft;
  wall_at_ = now + wall;
  if (shorter) because("at most " + format_duration(wall) + ": somebody else ends it soon after");
  lives(now);
  heard_ = false;
  soft_at_.reset();
  if (is_set(soft) && soft < wall) soft_at_ = wall_at_ - soft;
  cadence_.attempt_started(now);
  if (stop_) {
    decide(stopped(), stopped_reason());
    return insist_ ? kill_tree(now) : freeze_tree(now);
  }
  if (over_budget_) end_for_budget(now);
}

void task_machine::sign_of_life(time_point now) {
  lives(now);
  heard_ = true;
}

void task_machine::lives(time_point now) {
  last_sign_ = looked_at_ = now;
  answer_by_.reset();
}

milliseconds task_machine::longest_silence() const {
  if (heard_ || !is_set(limits_.first_output)) return limits_.idle;
  return is_set(limits_.idle) ? std::min(limits_.idle, limits_.first_output) : limits_.first_output;
}

time_point task_machine::next_look() const {
  const milliseconds silence = longest_silence();
  const time_point over = last_sign_ + silence,
                   next = looked_at_ + std::max(silence / looks, milliseconds(1));
  return looked_at_ < over ? std::min(next, over) : next;
}

/// Where we did not run, an agent may not have run either, or could not get rid of what it said.
void task_machine::forgive_delay(time_point now) {
  const auto due = running_wake();
  if (!due || now - *due <= longest_delay) return;
  because("did not run for " + format_duration(std::chrono::floor<milliseconds>(now - *due)));
  forgive(now - *due, now);
}

/// `lost`: of the monotonic clock. The look that comes next has nothing to compare with.
void task_machine::forgive(duration lost, time_point now) {
  woke_ = true;
  wall_at_ += lost;
  if (soft_at_) *soft_at_ += lost;
  lives(std::max(last_sign_ + lost, now + patience - longest_silence()));
}

// Several may have passed: the one that says most comes first. A first look has nothing to compare
// with, so it never decides.
void task_machine::running_deadline(time_point now) {
  if (now >= wall_at_)
    return time_out(
        "wall",
        format_duration(std::chrono::floor<milliseconds>(wall_at_ - began_)) + " since its start",
        now);
  if (const milliseconds silence = longest_silence(); is_set(silence)) {
    const bool over = now >= last_sign_ + silence;
    if (over && answer_by_ && now >= *answer_by_) {
      const bool first = !heard_ && is_set(limits_.first_output);
      return time_out(
          first && now >= last_sign_ + limits_.first_output ? "first_output" : "idle",
          "nothing for " + format_duration(std::chrono::floor<milliseconds>(now - last_sign_)),
          now);
    }
    if (!answer_by_ && now >= next_look()) {
      actions_.emplace_back(look{});
      if (over && looked_at_ != last_sign_) answer_by_ = now + longest_look;
      looked_at_ = now;
    }
  }
  if (soft_at_ && now >= *soft_at_) {
    soft_at_.reset();
    cadence_.soft();
    actions_.emplace_back(ask_for_note{std::chrono::floor<milliseconds>(wall_at_ - now)});
  }
}

void task_machine::time_out(std::string_view which, std::string words, time_point now) {
  because(words);
  decide({verdict::timed_out, std::string(which), {}}, "timed out: " + std::string(which));
  freeze_tree(now);
}

void task_machine::end_for_budget(time_point now) {
  decide(*over_budget_, "budget: " + over_budget_->detail);
  freeze_tree(now);
}

void task_machine::checkpoint_if_due(time_point now) {
  const auto reason = cadence_.start(next_token_, now);
  if (reason)
    actions_.emplace_back(
        save{.token = next_token_++, .reason = std::string(name(*reason)), .ended = {}});
}

std::optional<time_point> task_machine::running_wake() const {
  auto at = wall_at_;
  if (answer_by_)
    at = std::min(at, *answer_by_);
  else if (is_set(longest_silence()))
    at = std::min(at, next_look());
  if (soft_at_) at = std::min(at, *soft_at_);
  if (const auto checkpoint = cadence_.wake_at()) at = std::min(at, *checkpoint);
  return at;
}

std::optional<deadlines_left> task_machine::deadlines() const {
  if (phase_ != running) return std::nullopt;
  deadlines_left left{.wall = wall_at_, .idle = {}, .soft = soft_at_};
  if (const milliseconds silence = longest_silence(); is_set(silence))
    left.idle = last_sign_ + silence;
  return left;
}

}  // namespace remora::supervise

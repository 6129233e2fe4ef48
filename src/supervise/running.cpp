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

}  // namespace

void task_machine::run(time_point now) {
  phase_ = running;
  wall_at_ = now + limits_.wall;
  last_sign_ = now;
  heard_ = false;
  if (is_set(limits_.soft) && limits_.soft < limits_.wall) soft_at_ = wall_at_ - limits_.soft;
  cadence_.attempt_started(now);
  if (!stop_) return;
  decide(stopped(), stopped_reason());
  insist_ ? kill_tree(now) : freeze_tree(now);
}

void task_machine::sign_of_life(time_point now) {
  last_sign_ = now;
  heard_ = true;
}

// After a jump several may have passed: the one that says most comes first.
void task_machine::running_deadline(time_point now) {
  std::string_view which;
  if (now >= wall_at_)
    which = "wall";
  else if (!heard_ && is_set(limits_.first_output) && now >= last_sign_ + limits_.first_output)
    which = "first_output";
  else if (is_set(limits_.idle) && now >= last_sign_ + limits_.idle)
    which = "idle";

  if (!which.empty()) {
    because(which == "wall" ? format_duration(limits_.wall) + " since its start"
                            : "nothing for " + format_duration(now - last_sign_));
    decide({verdict::timed_out, std::string(which), {}}, "timed out: " + std::string(which));
    return freeze_tree(now);
  }
  if (soft_at_ && now >= *soft_at_) {
    soft_at_.reset();
    cadence_.soft();
  }
}

void task_machine::checkpoint_if_due(time_point now) {
  const auto reason = cadence_.start(next_token_, now);
  if (reason)
    actions_.emplace_back(save{.token = next_token_++, .reason = std::string(name(*reason))});
}

std::optional<time_point> task_machine::running_wake() const {
  auto at = wall_at_;
  if (!heard_ && is_set(limits_.first_output)) at = std::min(at, last_sign_ + limits_.first_output);
  if (is_set(limits_.idle)) at = std::min(at, last_sign_ + limits_.idle);
  if (soft_at_) at = std::min(at, *soft_at_);
  if (const auto checkpoint = cadence_.wake_at()) at = std::min(at, *checkpoint);
  return at;
}

}  // namespace remora::supervise

#include <algorithm>
#include <remora/supervise/cadence.hpp>
#include <remora/supervise/verdicts.hpp>

namespace remora::supervise {
namespace {

// Checkpoints by `interval` use at most one part in this many of the task's time.
constexpr int interval_share = 20;

// A checkpoint that fails at once (a full disk) must not be tried in a tight loop.
constexpr milliseconds first_retry{1'000};
constexpr milliseconds longest_retry{60'000};

}  // namespace

void cadence::attempt_started(time_point now) {
  attempt_started_ = now;
  running_ = true;
  turns_ = 0;
}

void cadence::attempt_ends() {
  running_ = false;
  wish_.reset();
}

void cadence::turn_ended() {
  if (rules_.turns == 0 || ++turns_ < rules_.turns) return;
  turns_ = 0;
  wish(reason::turn);
}

void cadence::mutated() {
  if (rules_.mutations) wish(reason::mutation);
}

void cadence::soft() {
  wish(reason::soft);
}

void cadence::requested() {
  wish(reason::request);
}

void cadence::wish(reason r) {
  if (running_) wish_ = std::max(wish_.value_or(r), r);
}

std::optional<cadence::reason> cadence::start(std::uint64_t token, time_point now) {
  const auto at = wake_at();
  if (!at || now < *at) return std::nullopt;
  in_flight_ = token;
  in_flight_reason_ = wish_.value_or(reason::interval);
  wish_.reset();
  last_start_ = now;
  return in_flight_reason_;
}

void cadence::answered(std::uint64_t token, bool ok, milliseconds took) {
  if (in_flight_ != token) return;
  in_flight_.reset();
  if (in_flight_reason_ == reason::interval) {
    interval_spent_ += took;
    interval_last_ = took;
  }
  failures_ = ok ? 0 : failures_ + 1;
  if (!ok) wish(in_flight_reason_);
}

milliseconds cadence::gap() const {
  if (failures_ == 0) return rules_.min_gap;
  return std::max(rules_.min_gap, doubled(first_retry, failures_ - 1, longest_retry));
}

// What the next one will take is not known: it is taken to be what the last one took.
std::optional<time_point> cadence::interval_at() const {
  if (rules_.interval == milliseconds::zero()) return std::nullopt;
  const auto since = std::max(attempt_started_, last_start_.value_or(attempt_started_));
  return std::max(since + rules_.interval,
                  task_began_ + interval_share * (interval_spent_ + interval_last_));
}

std::optional<time_point> cadence::wake_at() const {
  if (!running_ || in_flight_) return std::nullopt;
  const auto open = last_start_ ? *last_start_ + gap() : attempt_started_;
  if (wish_) return open;
  const auto due = interval_at();
  if (!due) return std::nullopt;
  return std::max(*due, open);
}

std::string_view name(cadence::reason r) {
  switch (r) {
    case cadence::reason::interval:
      return "interval";
    case cadence::reason::mutation:
      return "mutation";
    case cadence::reason::turn:
      return "turn";
    case cadence::reason::soft:
      return "soft";
    case cadence::reason::request:
      return "request";
  }
  return "";
}

}  // namespace remora::supervise

// The chain of a task's attempts: which lives count, how long to wait, which agents may go on, when
// to give up.
#pragma once

#include <cstdint>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <remora/supervise/limits.hpp>
#include <remora/supervise/verdicts.hpp>

namespace remora::supervise {

/// What the checkpoints of an attempt tell about it. `unknown`: none of them succeeded, or the last
/// one did not and those before had found nothing.
enum class progress { none, some, unknown };

class chain {
 public:
  /// `seed`: of the jitter.
  chain(const limits& l, std::uint64_t seed);

  void resume(std::uint32_t counted, std::uint32_t agent);
  std::uint32_t counted() const noexcept { return counted_; }
  /// Of the next attempt: where an account is paused, not the first one that may go on.
  void use(std::uint32_t agent) noexcept { current_ = agent; }
  /// The first of the task's agents that may go on: those before it did not help.
  std::uint32_t agent() const noexcept { return agent_; }
  bool spent() const noexcept { return counted_ >= attempts_; }

  struct next {
    follow then = follow::fail;  ///< succeed successor interrupt fail cancel
    bool counted = false;
    milliseconds base{0};  ///< the wait without jitter
    milliseconds wait{0};
    std::optional<agent::outcome> because;  ///< replaces the attempt's outcome as the task's last
  };
  /// `stopping`: no successor is wanted.
  next after(const agent::outcome& o, progress p, bool stopping, time_point now);

  /// After a preparation that a signal cut short: nobody lived, so nothing counts but how often it
  /// happened in a row.
  next after_cut_short();
  void prepared() { cut_short_ = 0; }

 private:
  void count_row(agent::verdict v, time_point now);
  void judge_progress(agent::verdict v, progress p);
  bool on_last_agent() const noexcept { return current_ + 1 >= agents_; }

  std::uint32_t attempts_, agents_;
  std::uint64_t random_;
  std::uint32_t counted_ = 0;
  std::uint32_t agent_ = 0, current_ = 0;
  std::optional<agent::verdict> row_of_;  ///< the verdict of the row that `row_` counts
  std::uint32_t row_ = 0;                 ///< how many of it came before the last one
  time_point row_since_{};
  std::uint32_t fruitless_ = 0;  ///< attempts in a row without progress
  std::uint32_t cut_short_ = 0;  ///< preparations in a row
};

}  // namespace remora::supervise

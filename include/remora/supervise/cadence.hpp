// When a checkpoint is due while an agent runs. Wishes are merged, kept apart by `min_gap`, and
// never dropped while it runs; one checkpoint is in flight at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <remora/core/clock.hpp>
#include <remora/supervise/limits.hpp>
#include <string_view>

namespace remora::supervise {

class cadence {
 public:
  /// The larger one names a checkpoint that several wishes led to.
  enum class reason { interval, mutation, turn, soft, request };

  explicit cadence(const checkpoint_rules& rules) : rules_(rules) {}

  void task_began(time_point now) { task_began_ = now; }
  void attempt_started(time_point now);
  /// From here on wishes are forgotten: the checkpoints of an attempt's end replace them.
  void attempt_ends();

  void turn_ended();
  void mutated();
  void soft();
  void requested();

  /// The checkpoint to start now, if any; it is then in flight under `token`.
  std::optional<reason> start(std::uint64_t token, time_point now);
  /// A checkpoint of an attempt's end was started: `min_gap` counts from it too.
  void started_another(time_point now) { last_start_ = now; }
  /// A token that is not in flight is ignored. A failed checkpoint is wished for again, ever later.
  void answered(std::uint64_t token, bool ok, milliseconds took);

  /// When `start` will next have one; nothing: not before another wish or answer.
  std::optional<time_point> wake_at() const;

 private:
  void wish(reason r);
  milliseconds gap() const;
  std::optional<time_point> interval_at() const;

  checkpoint_rules rules_;
  time_point task_began_{}, attempt_started_{};
  bool running_ = false;
  std::optional<time_point> last_start_;
  std::optional<reason> wish_;
  std::optional<std::uint64_t> in_flight_;
  reason in_flight_reason_ = reason::interval;
  std::uint32_t turns_ = 0, failures_ = 0;
  milliseconds interval_spent_{0}, interval_last_{0};
};

std::string_view name(cadence::reason r);

}  // namespace remora::supervise

// The clock seam. Deadlines are on the monotonic clock; a moment that people name (a quota reset,
// a run's id) is on the wall clock. Pure code takes time as an argument and never asks.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace remora {

using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;
using wall_time = std::chrono::system_clock::time_point;

class clock {
 public:
  virtual ~clock() = default;
  virtual time_point now() const = 0;
  virtual wall_time wall() const = 0;
};

/// The machine's. Thread: any.
clock& machine_clock();

/// Time that only moves when told: `advance` moves both clocks.
class manual_clock final : public clock {
 public:
  time_point now() const override { return now_; }
  wall_time wall() const override { return wall_; }
  void advance(duration d);

 private:
  time_point now_{std::chrono::hours(1)};
  wall_time wall_{std::chrono::sys_days(std::chrono::year(2026) / 1 / 2)};
};

/// `2026-11-21T17:03:59.123Z`.
std::string iso8601(wall_time t);
/// What `iso8601` wrote, with milliseconds or without; nothing for any other text.
std::optional<wall_time> parse_iso8601(std::string_view text);

}  // namespace remora

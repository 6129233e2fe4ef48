// Virtual time: what happens next, and when. The clock moves only from one event to the next.
#pragma once

#include <functional>
#include <map>
#include <remora/core/clock.hpp>
#include <utility>

namespace remora::sim {

class life;

class timeline final : public clock {
 public:
  using key = std::pair<time_point, std::uint64_t>;

  time_point now() const override { return now_; }
  wall_time wall() const override { return wall_; }

  /// Calls `what` at `when`, or next where that has passed. `owner`: the orchestrator that it
  /// happens in; null: the world.
  key at(time_point when, const life* owner, std::function<void()> what);
  key after(duration d, const life* owner, std::function<void()> what) {
    return at(now_ + d, owner, std::move(what));
  }
  /// Unknown keys and those that have happened: nothing.
  void cancel(const key& k);

  /// The next event that is not held; false: there is none.
  bool next();
  /// Time passes in which nothing happens: a machine that swaps, or is stopped from outside.
  void jump(duration d);
  /// A suspended machine, by its two clocks: only the one on the wall goes on.
  void suspend(duration d) {
    wall_ += std::chrono::duration_cast<wall_time::duration>(d);
    suspended_ += d;
  }
  duration suspended() const { return suspended_; }
  /// What would happen in a stopped process waits until it goes on.
  void hold(const life* owner);
  void go_on(const life* owner);
  /// Nothing happens in it any more.
  void forget(const life* owner);

 private:
  struct event {
    const life* owner;
    std::function<void()> what;
  };
  void move_to(time_point t);

  time_point now_{std::chrono::hours(1)};
  wall_time wall_{std::chrono::sys_days(std::chrono::year(2026) / 1 / 2)};
  duration suspended_{0};
  std::uint64_t order_ = 0;
  std::map<key, event> queue_, held_;
  const life* stopped_ = nullptr;
};

}  // namespace remora::sim

// The timer seam: what calls back when a clock reaches a moment. A simulation has its own, and
// moves its clock to the next moment when its loop is idle. Thread: the loop's, all of it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <remora/core/clock.hpp>

namespace remora::io {

class timer {
 public:
  /// No callback after it, also where one was due.
  virtual ~timer() = default;
  /// Calls `expired` once, from the loop and never inside `set`, when the clock has reached `at`.
  /// Replaces what was set. The callback may set the timer again, and may destroy it.
  virtual void set(time_point at, std::function<void()> expired) = 0;
  /// No callback after it.
  virtual void cancel() = 0;
};

class timers {
 public:
  virtual ~timers() = default;
  virtual time_point now() const = 0;
  /// How long the machine was suspended since it was started. `now` does not count that.
  virtual duration suspended() const = 0;
  virtual std::unique_ptr<timer> make() = 0;
};

/// On the machine's monotonic clock.
std::unique_ptr<timer> make_timer(boost::asio::any_io_executor loop);
std::unique_ptr<timers> make_timers(boost::asio::any_io_executor loop);

}  // namespace remora::io

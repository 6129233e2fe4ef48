// One deadline of one owner: `set` replaces it, expiry calls back once. Thread: the loop's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <remora/core/clock.hpp>
#include <remora/io/timers.hpp>

namespace remora::io {

class deadline {
 public:
  /// On the machine's clock.
  deadline(boost::asio::any_io_executor executor, std::function<void()> expired);
  /// On the clock of `source`.
  deadline(timers& source, std::function<void()> expired);
  /// No callback after it, also where the time had passed and the callback was due.
  ~deadline();
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;

  /// Nothing: no deadline. The same time again costs nothing. A time that has passed calls back
  /// from the loop: never inside `set`. After a callback no deadline is set. The callback may call
  /// `set`, and may destroy the deadline.
  void set(std::optional<time_point> at);
  std::optional<time_point> at() const noexcept;

 private:
  std::unique_ptr<timer> timer_;
  std::function<void()> expired_;
  std::optional<time_point> at_;
};

}  // namespace remora::io

// One deadline of one owner: `set` replaces it, expiry calls back once. Thread: the loop's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <remora/core/clock.hpp>

namespace remora::io {

class deadline {
 public:
  deadline(boost::asio::any_io_executor executor, std::function<void()> expired);
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
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace remora::io

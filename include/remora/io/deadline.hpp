// One deadline of one owner: `set` replaces it, expiry calls back once. Thread: the loop's.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <optional>
#include <remora/core/clock.hpp>

namespace remora::io {

class deadline {
 public:
  deadline(boost::asio::any_io_executor executor, std::function<void()> expired);
  /// Nothing: no deadline. The same time again costs nothing. The callback never runs inside `set`.
  void set(std::optional<time_point> at);

 private:
  boost::asio::steady_timer timer_;
  std::function<void()> expired_;
  std::optional<time_point> at_;
  std::shared_ptr<int> generation_;
};

}  // namespace remora::io

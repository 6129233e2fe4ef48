// SIGINT, SIGTERM and SIGHUP, told on the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>

namespace remora::io {

/// Takes the three signals over for as long as it lives. Thread: the loop's.
class signals {
 public:
  /// `received(signal, count)`: `count` is how many have come so far, of any of the three, this
  /// one included. Signals that come faster than the loop turns may be told as one (as the kernel
  /// does).
  signals(boost::asio::any_io_executor executor, std::function<void(int, int)> received);
  ~signals();
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace remora::io

// The condition variable of a single-threaded loop. Thread: the loop's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace remora::io {

class condition {
 public:
  explicit condition(boost::asio::any_io_executor executor);
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Wakes whoever waits now; nothing is remembered for those who come later.
  void notify();
  /// Returns after a `notify`; the caller tests again what it waits for. Cancellation: throws
  /// `operation_aborted`. The object outlives its waiters.
  boost::asio::awaitable<void> wait();

 private:
  boost::asio::steady_timer timer_;  // never expires: waiting on it is waiting for its cancel
};

}  // namespace remora::io

// A queue of events for one coroutine. `post` never blocks and never loses an event; asio's own
// channels do, at cancellation, before Boost 1.82 (style.md). Thread: the loop's, both ends.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <utility>

namespace remora::io {

namespace asio = boost::asio;

template <class Event>
class inbox {
 public:
  explicit inbox(asio::any_io_executor executor)
      : wake_(std::move(executor), asio::steady_timer::time_point::max()) {}

  void post(Event event) {
    events_.push_back(std::move(event));
    wake_.cancel_one();
  }

  /// The next event, in order. One waiter at a time. Cancellation: throws; no event is lost.
  asio::awaitable<Event> next() {
    while (events_.empty()) {
      // The timer never expires: it is the condition variable of a single-threaded loop.
      co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
      co_await asio::post(wake_.get_executor(),
                          asio::use_awaitable);  // a cancelled coroutine throws here
    }
    Event event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }

  bool empty() const noexcept { return events_.empty(); }

 private:
  std::deque<Event> events_;
  asio::steady_timer wake_;
};

}  // namespace remora::io

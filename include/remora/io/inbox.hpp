// A queue of events for one coroutine. `post` never blocks and never loses an event; asio's own
// channels do, at cancellation, before Boost 1.82. Thread: the loop's, both ends.
#pragma once

#include <deque>
#include <remora/io/condition.hpp>
#include <utility>

namespace remora::io {

template <class Event>
class inbox {
 public:
  explicit inbox(boost::asio::any_io_executor executor) : posted_(std::move(executor)) {}

  void post(Event event) {
    events_.push_back(std::move(event));
    posted_.notify();
  }

  /// The next event, in order. One waiter at a time. Cancellation: throws `operation_aborted`; an
  /// event that was there, or arrives with it, stays for the next call.
  boost::asio::awaitable<Event> next() {
    while (events_.empty()) co_await posted_.wait();
    Event event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }

  bool empty() const noexcept { return events_.empty(); }
  std::size_t size() const noexcept { return events_.size(); }

 private:
  std::deque<Event> events_;
  condition posted_;
};

}  // namespace remora::io

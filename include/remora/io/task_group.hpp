// Owns coroutines: whoever spawns into a group joins it. Nothing is detached, so no exception is
// lost. Thread: the loop's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <list>
#include <string>

namespace remora::io {

namespace asio = boost::asio;

class task_group {
 public:
  explicit task_group(asio::any_io_executor executor);
  /// Asserts that the group was joined.
  ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Starts `work`. `name` is for the text of an exception that escapes it.
  void spawn(std::string name, asio::awaitable<void> work);
  /// Terminal cancellation of all that runs.
  void cancel();
  /// Waits for all. Rethrows the first exception that escaped one (but not a cancellation's).
  asio::awaitable<void> join();
  std::size_t size() const noexcept;

 private:
  struct member;
  asio::any_io_executor executor_;
  std::list<member> members_;
  asio::steady_timer idle_;
  std::exception_ptr failed_;
};

}  // namespace remora::io

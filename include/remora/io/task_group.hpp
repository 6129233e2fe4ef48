// Owns coroutines: whoever spawns into a group joins it. Nothing is detached, so no exception is
// lost. Thread: the loop's, inside a handler or coroutine of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <remora/io/condition.hpp>
#include <string>

namespace remora::io {

class task_group {
 public:
  /// `failed`: called once, from the loop, when the first exception escapes: whoever waits for
  /// something else than `join` learns of it at once.
  explicit task_group(boost::asio::any_io_executor executor, std::function<void()> failed = {});
  /// Asserts that nothing runs any more, but where the loop itself was given up.
  ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Starts `work` from the loop, not inside this call. `name` is for the text of an exception
  /// that escapes it.
  void spawn(std::string name, boost::asio::awaitable<void> work);
  /// Terminal cancellation of all that runs; what is spawned afterwards is not affected.
  void cancel();
  /// Waits for all, then throws what escaped first as a `std::runtime_error` that names the task
  /// (the original is nested in it). A cancellation that escapes is not a failure. Cancellation of
  /// the caller: throws at once, may be called again; clean-up code resets its cancellation state
  /// before it joins.
  boost::asio::awaitable<void> join();
  std::size_t size() const noexcept { return members_.size(); }

 private:
  struct member;
  struct finished;
  void remove(const std::shared_ptr<member>& done, std::exception_ptr failure);

  boost::asio::any_io_executor executor_;
  std::function<void()> told_;
  std::list<std::shared_ptr<member>> members_;
  condition idle_;
  std::exception_ptr failed_;
};

}  // namespace remora::io

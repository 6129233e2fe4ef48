// A blocking function on a pool's thread, awaited from the loop. The function is a named one and
// gets its arguments by value: captures beside `co_await` are destroyed twice by g++ 12.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace boost::asio {
class thread_pool;
}

namespace remora::io {

/// A call that was packed up here to run there.
class pool_job {
 public:
  virtual ~pool_job() = default;
  void run() noexcept;  ///< thread: the pool's
  void rethrow() const {
    if (failed_) std::rethrow_exception(failed_);
  }

 private:
  virtual void call() = 0;
  std::exception_ptr failed_;
};

/// Runs `job` on `pool` and returns when it has ended; ignores cancellation until then, so `job`
/// may live in the frame of the caller.
boost::asio::awaitable<void> await_on_pool(boost::asio::thread_pool& pool, pool_job& job);

template <class Function, class... Arguments>
class packed_call final : public pool_job {
 public:
  using value_type = std::invoke_result_t<Function, Arguments...>;
  packed_call(Function function, Arguments... arguments)
      : function_(std::move(function)), arguments_(std::move(arguments)...) {}

  value_type take() {
    rethrow();
    if constexpr (!std::is_void_v<value_type>) return std::move(*value_);
  }

 private:
  void call() override {
    if constexpr (std::is_void_v<value_type>)
      std::apply(std::move(function_), std::move(arguments_));
    else
      value_.emplace(std::apply(std::move(function_), std::move(arguments_)));
  }

  Function function_;
  std::tuple<Arguments...> arguments_;
  std::optional<std::conditional_t<std::is_void_v<value_type>, std::monostate, value_type>> value_;
};

/// `function(arguments…)` on a thread of `pool`; its value or exception comes back on the loop.
/// Values may be movable only. Cancellation is ignored until the function has returned, and does
/// not lose its value: hand it a `stop_token` to end it early. The pool is joined before the loop's
/// context is destroyed.
template <class Function, class... Arguments>
boost::asio::awaitable<std::invoke_result_t<Function, Arguments...>> run_on(
    boost::asio::thread_pool& pool, Function function, Arguments... arguments) {
  packed_call<Function, Arguments...> job(std::move(function), std::move(arguments)...);
  co_await await_on_pool(pool, job);
  co_return job.take();
}

}  // namespace remora::io

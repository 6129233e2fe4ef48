#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <remora/io/condition.hpp>
#include <utility>

namespace remora::io {

namespace asio = boost::asio;

condition::condition(asio::any_io_executor executor)
    : timer_(std::move(executor), asio::steady_timer::time_point::max()) {}

void condition::notify() {
  timer_.cancel();
}

asio::awaitable<void> condition::wait() {
  co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  // A notify and a cancellation both end the timer's wait with the same error.
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted, "cancelled");
}

}  // namespace remora::io

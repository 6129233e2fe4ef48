#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <remora/io/pause.hpp>

namespace remora::io {

namespace asio = boost::asio;

asio::awaitable<void> pause(duration d) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, d);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace remora::io

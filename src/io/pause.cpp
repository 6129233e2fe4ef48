#include <boost/asio/this_coro.hpp>
#include <remora/io/condition.hpp>
#include <remora/io/pause.hpp>

namespace remora::io {

namespace asio = boost::asio;

asio::awaitable<void> pause(timers& source, duration d) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  condition passed(executor);
  bool over = false;
  const std::unique_ptr<timer> one = source.make();
  const std::function<void()> end = [&over, &passed] {
    over = true;
    passed.notify();
  };
  one->set(source.now() + d, end);
  while (!over) co_await passed.wait();
}

}  // namespace remora::io

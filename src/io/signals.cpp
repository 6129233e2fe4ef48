#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <remora/io/signals.hpp>
#include <utility>

namespace remora::io {

struct signals::state : std::enable_shared_from_this<signals::state> {
  state(boost::asio::any_io_executor executor, std::function<void(int, int)> callback)
      : set(std::move(executor), SIGINT, SIGTERM, SIGHUP), received(std::move(callback)) {}

  void wait() {
    set.async_wait([weak = weak_from_this()](const boost::system::error_code& failed, int signal) {
      const auto self = weak.lock();
      if (failed || !self) return;
      self->wait();  // first, so that a callback that destroys us has nothing after it
      self->received(signal, ++self->count);
    });
  }

  boost::asio::signal_set set;
  std::function<void(int, int)> received;
  int count = 0;
};

signals::signals(boost::asio::any_io_executor executor, std::function<void(int, int)> received)
    : state_(std::make_shared<state>(std::move(executor), std::move(received))) {
  state_->wait();
}

signals::~signals() = default;

}  // namespace remora::io

#include "process/watched_fd.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <utility>

namespace remora::process {

namespace asio = boost::asio;

struct watched_fd::state {
  state(asio::any_io_executor executor, int fd) : descriptor(std::move(executor), fd) {
    boost::system::error_code ignored;  // the first wait would do it, on the loop
    descriptor.native_non_blocking(true, ignored);
  }
  asio::posix::stream_descriptor descriptor;

  static void wait(const std::shared_ptr<state>& self,
                   asio::posix::stream_descriptor::wait_type kind, std::function<void()> ready) {
    self->descriptor.async_wait(
        kind, [weak = std::weak_ptr(self), ready = std::move(ready)](const auto& failed) {
          // A wait that was over when we were closed is not cancelled any more.
          if (!failed && !weak.expired()) ready();
        });
  }
};

watched_fd::watched_fd() = default;
watched_fd::watched_fd(asio::any_io_executor executor, unique_fd fd)
    : state_(std::make_shared<state>(std::move(executor), fd.get())) {
  static_cast<void>(fd.release());
}
watched_fd::~watched_fd() = default;
watched_fd::watched_fd(watched_fd&&) noexcept = default;
watched_fd& watched_fd::operator=(watched_fd&&) noexcept = default;

int watched_fd::get() const noexcept {
  return state_ ? state_->descriptor.native_handle() : -1;
}

void watched_fd::when_readable(std::function<void()> ready) {
  if (state_) state::wait(state_, asio::posix::stream_descriptor::wait_read, std::move(ready));
}

void watched_fd::when_writable(std::function<void()> ready) {
  if (state_) state::wait(state_, asio::posix::stream_descriptor::wait_write, std::move(ready));
}

void watched_fd::close() {
  state_.reset();
}

}  // namespace remora::process

#include <remora/io/deadline.hpp>
#include <utility>

namespace remora::io {

deadline::deadline(boost::asio::any_io_executor executor, std::function<void()> expired)
    : timer_(make_timer(std::move(executor))), expired_(std::move(expired)) {}

deadline::deadline(timers& source, std::function<void()> expired)
    : timer_(source.make()), expired_(std::move(expired)) {}

deadline::~deadline() = default;

void deadline::set(std::optional<time_point> at) {
  if (at == at_) return;
  at_ = at;
  if (!at) return timer_->cancel();
  timer_->set(*at, [this] {
    at_.reset();
    const std::function<void()> call = expired_;  // it may destroy us
    call();
  });
}

std::optional<time_point> deadline::at() const noexcept {
  return at_;
}

}  // namespace remora::io

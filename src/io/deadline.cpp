#include <boost/asio/steady_timer.hpp>
#include <remora/io/deadline.hpp>
#include <utility>

namespace remora::io {

struct deadline::state {
  state(boost::asio::any_io_executor executor, std::function<void()> callback)
      : timer(std::move(executor)), expired(std::move(callback)) {}
  boost::asio::steady_timer timer;
  std::function<void()> expired;
  std::optional<time_point> at;
  std::uint64_t generation = 0;  // a wait that completed may not be cancelled any more
};

deadline::deadline(boost::asio::any_io_executor executor, std::function<void()> expired)
    : state_(std::make_shared<state>(std::move(executor), std::move(expired))) {}

deadline::~deadline() = default;

void deadline::set(std::optional<time_point> at) {
  if (at == state_->at) return;
  state_->at = at;
  const std::uint64_t mine = ++state_->generation;
  if (!at) {
    state_->timer.cancel();
    return;
  }
  state_->timer.expires_at(*at);
  state_->timer.async_wait([weak = std::weak_ptr<state>(state_), mine](const auto&) {
    const std::shared_ptr<state> self = weak.lock();
    if (!self || self->generation != mine) return;
    self->at.reset();
    self->expired();
  });
}

std::optional<time_point> deadline::at() const noexcept {
  return state_->at;
}

}  // namespace remora::io

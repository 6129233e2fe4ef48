#include <time.h>

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <remora/io/timers.hpp>
#include <utility>

namespace remora::io {
namespace {

duration read(clockid_t which) {
  timespec t{};
  ::clock_gettime(which, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

class machine_timer final : public timer {
 public:
  explicit machine_timer(boost::asio::any_io_executor loop)
      : state_(std::make_shared<state>(std::move(loop))) {}

  void set(time_point at, std::function<void()> expired) override {
    const std::uint64_t mine = ++state_->generation;
    state_->timer.expires_at(at);
    state_->timer.async_wait(
        [weak = std::weak_ptr<state>(state_), mine, call = std::move(expired)](const auto&) {
          const std::shared_ptr<state> self = weak.lock();
          if (self && self->generation == mine) call();
        });
  }

  void cancel() override {
    ++state_->generation;
    state_->timer.cancel();
  }

 private:
  struct state {
    explicit state(boost::asio::any_io_executor loop) : timer(std::move(loop)) {}
    boost::asio::steady_timer timer;
    std::uint64_t generation = 0;  // a wait that completed may not be cancelled any more
  };
  std::shared_ptr<state> state_;
};

class machine_timers final : public timers {
 public:
  explicit machine_timers(boost::asio::any_io_executor loop) : loop_(std::move(loop)) {}
  time_point now() const override { return machine_clock().now(); }
  // CLOCK_BOOTTIME goes on in a suspend, CLOCK_MONOTONIC does not (clock_gettime(2)).
  duration suspended() const override { return read(CLOCK_BOOTTIME) - read(CLOCK_MONOTONIC); }
  std::unique_ptr<timer> make() override { return make_timer(loop_); }

 private:
  boost::asio::any_io_executor loop_;
};

}  // namespace

std::unique_ptr<timer> make_timer(boost::asio::any_io_executor loop) {
  return std::make_unique<machine_timer>(std::move(loop));
}

std::unique_ptr<timers> make_timers(boost::asio::any_io_executor loop) {
  return std::make_unique<machine_timers>(std::move(loop));
}

}  // namespace remora::io

// A descriptor that calls back when it is ready. Plain callbacks, so that Asio's templates are
// instantiated once. Thread: the loop's; one that nobody waited for yet may be made, moved and
// destroyed by another.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <remora/core/posix.hpp>

namespace remora::process {

class watched_fd {
 public:
  watched_fd();
  /// `fd` does not block from now on.
  watched_fd(boost::asio::any_io_executor executor, unique_fd fd);
  ~watched_fd();
  watched_fd(watched_fd&&) noexcept;
  watched_fd& operator=(watched_fd&&) noexcept;

  /// -1 when closed.
  int get() const noexcept;
  bool open() const noexcept { return get() >= 0; }
  /// One call, from the loop. One wait of a kind at a time. Closing or destroying ends it silently;
  /// the callback may do either.
  void when_readable(std::function<void()> ready);
  void when_writable(std::function<void()> ready);
  void close();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace remora::process

#include "process/stdin_queue.hpp"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace remora::process {

void stdin_queue::write(std::string bytes) {
  if (!pipe_.open() || closing_) return;
  if (pending_.empty())
    pending_ = std::move(bytes);
  else
    pending_ += bytes;
  flush();
}

void stdin_queue::close_when_written() {
  closing_ = true;
  flush();
}

void stdin_queue::close() {
  pipe_.close();
  pending_ = std::string();
  written_ = 0;
}

void stdin_queue::flush() {
  if (waiting_ || !pipe_.open()) return;
  while (written_ < pending_.size()) {
    const ssize_t n = ::write(pipe_.get(), pending_.data() + written_, pending_.size() - written_);
    if (n >= 0) {
      written_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      waiting_ = true;
      pipe_.when_writable([this] {
        waiting_ = false;
        flush();
      });
      return;
    } else if (errno != EINTR) {
      return close();  // EPIPE: the agent closed its stdin or is gone; its exit tells
    }
  }
  pending_ = std::string();
  written_ = 0;
  if (closing_) pipe_.close();
}

}  // namespace remora::process

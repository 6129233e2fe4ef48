#include "process/output_pipe.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace remora::process {

namespace {

constexpr std::size_t chunk = 64 << 10;  // a pipe's usual capacity

/// One for all pipes: a thousand agents at rest hold no buffers.
std::array<char, chunk>& buffer() {
  thread_local std::array<char, chunk> bytes;
  return bytes;
}

}  // namespace

output_pipe::output_pipe(watched_fd pipe, unique_fd file, output_budget& budget, callbacks call)
    : pipe_(std::move(pipe)), file_(std::move(file)), budget_(budget), call_(std::move(call)) {}

void output_pipe::pump() {
  if (waiting_ || !pipe_.open() || budget_.held + chunk > output_budget::limit) return;
  waiting_ = true;
  pipe_.when_readable([this] {
    waiting_ = false;
    read_once();
    pump();
  });
}

void output_pipe::drain() {
  int there = 0;
  if (!pipe_.open() || ::ioctl(pipe_.get(), FIONREAD, &there) != 0) return;
  std::size_t read = 0;
  // One read more than the bytes need: it sees the end.
  for (std::size_t n = 1; n > 0 && read <= static_cast<std::size_t>(there); read += n)
    n = read_once();
}

void output_pipe::close() {
  pipe_.close();
  file_.reset();
}

std::size_t output_pipe::read_once() {
  if (!pipe_.open()) return 0;
  const ssize_t n = ::read(pipe_.get(), buffer().data(), buffer().size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) {
    close();
    call_.ended();
    return 0;
  }
  const std::string_view bytes(buffer().data(), static_cast<std::size_t>(n));
  if (!write_all(file_.get(), bytes)) unsaved_ += bytes.size();
  budget_.held += bytes.size();
  call_.bytes(std::string(bytes));
  return bytes.size();
}

}  // namespace remora::process

// Reads and writes at a place in a file, with EINTR and short transfers dealt with.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <remora/core/result.hpp>
#include <span>
#include <string>
#include <string_view>

namespace remora::git {

/// A smaller file is read at once, a larger one in pieces.
constexpr std::uint64_t read_whole_below = 4 << 20;

/// Fills `into` from `offset`; short only at the end of the file. Errors: errno.
inline result<std::size_t> read_at(int fd, std::span<char> into, std::uint64_t offset) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t n = ::pread(fd, into.data() + filled, into.size() - filled,
                              static_cast<off_t>(offset + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot read the file");
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
  }
  return filled;
}

/// For a file that holds less than it had said.
inline error shrunk(std::uint64_t size) {
  return fail(errc::vanished, "the file became shorter than " + std::to_string(size) + " bytes");
}

/// All of `bytes`. Errors: errno.
inline result<void> write_at(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace remora::git

// The executable's own definitions come before the C library's, for shared libraries too.
#include "sync_count.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace {

std::atomic<std::uint64_t> calls{0};

int counted(long number, int fd) {
  ++calls;
  return static_cast<int>(::syscall(number, fd));
}

}  // namespace

extern "C" {

int fsync(int fd) {
  return counted(SYS_fsync, fd);
}

int fdatasync(int fd) {
  return counted(SYS_fdatasync, fd);
}

int syncfs(int fd) noexcept {
  return counted(SYS_syncfs, fd);
}

}  // extern "C"

namespace remora::bench {

std::uint64_t syncs() noexcept {
  return calls;
}

}  // namespace remora::bench

#include "failing_call.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdarg>

namespace remora::test {
namespace {

thread_local failing_call* active = nullptr;

bool fails(const char* call, const std::string& path) {
  return active && active->fails(call, path);
}

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), path, sizeof path);
  return {path, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

}  // namespace

failing_call::failing_call(std::string call, std::string path_end, int error, int times)
    : call_(std::move(call)), path_end_(std::move(path_end)), error_(error), times_(times) {
  active = this;
}
failing_call::~failing_call() {
  active = nullptr;
}

bool failing_call::fails(const char* call, const std::string& path) {
  if (call != call_ || !path.ends_with(path_end_) || times_ == 0) return false;
  --times_;
  errno = error_;
  return true;
}

extern "C" {

int unlink(const char* path) noexcept {
  return fails("unlink", path) ? -1 : static_cast<int>(::syscall(SYS_unlink, path));
}

int openat(int dir, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  if (fails("openat", path)) return -1;
  return static_cast<int>(::syscall(SYS_openat, dir, path, flags, mode));
}

ssize_t pread(int fd, void* into, std::size_t size, off_t at) {
  if (active && fails("pread", path_of(fd))) return -1;
  return ::syscall(SYS_pread64, fd, into, size, at);
}

}  // extern "C"

}  // namespace remora::test

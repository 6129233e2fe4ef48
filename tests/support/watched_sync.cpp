#include "watched_sync.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace remora::test {
namespace {

thread_local watched_sync* watcher = nullptr;

}  // namespace

watched_sync::watched_sync() {
  watcher = this;
}
watched_sync::~watched_sync() {
  watcher = nullptr;
}

void watched_sync::fail_at(std::string part) {
  failing_ = std::move(part);
}

bool watched_sync::saw(const std::string& part) const {
  return std::any_of(files.begin(), files.end(),
                     [&](const std::string& path) { return path.find(part) != path.npos; });
}

int watched_sync::record(int fd, std::vector<std::string>& into) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), path, sizeof path);
  into.emplace_back(path, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return !failing_.empty() && (into.back() + '$').find(failing_) != std::string::npos ? EIO : 0;
}

extern "C" {

int fsync(int fd) {
  if (const int e = watcher ? watcher->record(fd, watcher->files) : 0; e != 0) {
    errno = e;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

int syncfs(int fd) noexcept {
  if (const int e = watcher ? watcher->record(fd, watcher->file_systems) : 0; e != 0) {
    errno = e;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_syncfs, fd));
}

}  // extern "C"

}  // namespace remora::test

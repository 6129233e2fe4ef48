// Loaded into remora by tests/e2e/faults.py (LD_PRELOAD): every sync takes $SLOW_DISK_MS longer, as
// on a disk that somebody else keeps busy (F11), and a file named $BAD_FILE cannot be opened, as on
// one with a bad sector (W4). Agents and git get an environment of remora's making: it is never
// loaded into them.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

template <class Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void be_slow() {
  static const char* const text = std::getenv("SLOW_DISK_MS");
  static const long ms = text ? std::atol(text) : 0;
  timespec left{ms / 1000, ms % 1000 * 1'000'000};
  while (::nanosleep(&left, &left) != 0) {
  }
}

}  // namespace

#define SLOW(name, ...)                            \
  extern "C" int name(int fd) __VA_ARGS__ {        \
    static const auto real = next(&::name, #name); \
    be_slow();                                     \
    return real(fd);                               \
  }

extern "C" int openat(int dir, const char* path, int flags, ...) {
  static const auto real = next(&::openat, "openat");
  static const char* const bad = std::getenv("BAD_FILE");
  va_list more;
  va_start(more, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  if (!bad || std::strcmp(path, bad) != 0) return real(dir, path, flags, mode);
  errno = EIO;
  return -1;
}

SLOW(fsync)
SLOW(fdatasync)
SLOW(syncfs, noexcept)

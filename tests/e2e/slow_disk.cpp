// Loaded into remora by tests/e2e/faults.py (LD_PRELOAD): every sync takes $SLOW_DISK_MS longer, as
// on a disk that somebody else keeps busy (F11). Agents and git get an environment of remora's
// making: it is never loaded into them.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
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

SLOW(fsync)
SLOW(fdatasync)
SLOW(syncfs, noexcept)

// Loaded into remora by tests/e2e/crash.py (LD_PRELOAD): counts the calls that make something
// durable, visible or gone, and kills the process with SIGKILL right before call number
// $CRASH_AT. Agents and git get an environment of remora's making: it is never loaded into them.
// With $CRASH_TRACE, every call is written to that file, so that a test knows how many there are.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls{0};

template <class Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void point(const char* call, const char* what) {
  static const char* const at = std::getenv("CRASH_AT");
  static const char* const trace = std::getenv("CRASH_TRACE");
  const long n = ++calls;
  if (trace) {
    static const int fd = ::open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char line[512];
    const int size = std::snprintf(line, sizeof line, "%ld %s %.400s\n", n, call, what);
    if (::write(fd, line, static_cast<std::size_t>(size)) < 0) std::abort();
  }
  if (at && n == std::atol(at)) ::kill(::getpid(), SIGKILL);
}

}  // namespace

#define CRASH_POINT(name, what, parameters, ...)   \
  extern "C" int name parameters {                 \
    static const auto real = next(&::name, #name); \
    point(#name, what);                            \
    return real(__VA_ARGS__);                      \
  }

CRASH_POINT(fsync, "", (int fd), fd)
CRASH_POINT(fdatasync, "", (int fd), fd)
CRASH_POINT(syncfs, "", (int fd) noexcept, fd)
CRASH_POINT(ftruncate, "", (int fd, off_t size) noexcept, fd, size)
CRASH_POINT(rename, to, (const char* from, const char* to) noexcept, from, to)
CRASH_POINT(renameat, to, (int d, const char* from, int e, const char* to) noexcept, d, from, e, to)
CRASH_POINT(link, to, (const char* from, const char* to) noexcept, from, to)
CRASH_POINT(unlink, path, (const char* path) noexcept, path)
CRASH_POINT(unlinkat, path, (int d, const char* path, int flags) noexcept, d, path, flags)
CRASH_POINT(mkdir, path, (const char* path, mode_t mode) noexcept, path, mode)
CRASH_POINT(mkdirat, path, (int d, const char* path, mode_t mode) noexcept, d, path, mode)
CRASH_POINT(rmdir, path, (const char* path) noexcept, path)
CRASH_POINT(posix_spawn, path,
            (pid_t * pid, const char* path, const posix_spawn_file_actions_t* a,
             const posix_spawnattr_t* b, char* const argv[], char* const env[]),
            pid, path, a, b, argv, env)

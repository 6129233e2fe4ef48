// Loaded into remora (LD_PRELOAD) by tests/torture: counts its calls that write, make, rename,
// remove, lock, sync or start something, and its calls that open a descriptor; then ends the
// process right before one of them, or lets that one fail. Agents and git get an environment of
// remora's making: it is never loaded into them. What goes into pipes, sockets and the terminal is
// not counted.
//
//   FAIL_TRACE=FILE  a line for every call: `<number> <thread> <class> <can> <call> <path>`; the
//   class
//                    is `w` (changes something) or `d` (only makes a descriptor), <can> the sum of
//                    what it can fail with
//   FAIL_AT=N        the call that it happens at
//   FAIL_HOW=KILL|SHORT|<errno>   SHORT: a write of one byte. One that the call cannot give is kept
//                    for the next call that can
//   FAIL_FOR=K       so many calls fail; 0: all that follow
//   FAIL_NOTE=FILE   a line for the first call that it happened to, and at exit one for the
//                    descriptors: `descriptors <at the start> <at the end> <what each leads to …>`
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <initializer_list>

namespace {

/// What a call can fail with, after its manual page; errors.py has the same numbers.
enum : unsigned {
  nospc = 1,
  io = 2,
  mfile = 4,
  acces = 8,
  intr = 16,
  short_write = 32,
  again = 64,
  rofs = 128  ///< of who only reads no file system says it
};
constexpr unsigned makes_entry = nospc | io | acces | rofs;
constexpr unsigned opens = io | mfile | acces | intr;
constexpr unsigned creates = opens | nospc | rofs;
constexpr unsigned writes = nospc | io | intr | short_write;
constexpr unsigned syncs = nospc | io | intr;
constexpr unsigned removes = io | acces | rofs;
constexpr unsigned starts = mfile | acces | again;

constexpr int kill_it = -1;
constexpr int write_short = -2;

struct settings {
  long at = 0;
  int how = 0;  ///< kill_it, write_short or an errno
  long times = 1;
  int trace = -1;
  const char* note = nullptr;
  int descriptors = 0;
};
settings set;
std::atomic<long> calls{0};
std::atomic<long> happened{0};

template <class Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void put_line(int fd, const char* line, int size) {
  if (::syscall(SYS_write, fd, line, static_cast<std::size_t>(size)) < 0) ::abort();
}

void note(const char* line, int size) {
  if (!set.note) return;
  const long fd =
      ::syscall(SYS_openat, AT_FDCWD, set.note, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) ::abort();
  put_line(static_cast<int>(fd), line, size);
  ::syscall(SYS_close, fd);
}

unsigned bit_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return nospc;
    case EIO:
      return io;
    case EMFILE:
      return mfile;
    case EACCES:
      return acces;
    case EROFS:
      return rofs;
    case EINTR:
      return intr;
    case EAGAIN:
      return again;
    default:
      return error == write_short ? unsigned{short_write} : 0;
  }
}

/// Numbers the call. What is to be done instead of it: nothing (0), a short write, or an errno.
int point(char kind, const char* call, const char* what, unsigned can) {
  const long n = ++calls;
  char line[600];
  const int size = snprintf(line, sizeof line, "%ld %ld %c %u %s %.500s\n", n,
                            static_cast<long>(::syscall(SYS_gettid)), kind, can, call, what);
  if (set.trace >= 0) put_line(set.trace, line, size);
  if (set.at == 0 || n < set.at) return 0;
  if (set.how == kill_it) {
    if (n > set.at) return 0;
    note(line, size);
    ::kill(::getpid(), SIGKILL);
  }
  if ((can & bit_of(set.how)) == 0) return 0;
  const long time = ++happened;
  if (set.times != 0 && time > set.times) return 0;
  if (time == 1) note(line, size);
  return set.how;
}

/// As `point`, for a call whose only other way than to go on is to fail.
bool fails(char kind, const char* call, const char* what, unsigned can) {
  const int error = point(kind, call, what, can);
  if (error <= 0) return false;
  errno = error;
  return true;
}

/// The path of an open file or directory; empty for anything else, and for the standard streams.
struct path_of {
  explicit path_of(int fd) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    struct stat there{};
    const bool counts =
        fd > 2 && ::fstat(fd, &there) == 0 && (S_ISREG(there.st_mode) || S_ISDIR(there.st_mode));
    const ssize_t n = counts ? ::readlink(link, text, sizeof text - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
  }
  explicit operator bool() const { return text[0] != '\0'; }
  char text[512];
};

mode_t mode_of(int flags, va_list& more) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

bool open_fails(const char* call, const char* path, int flags) {
  const bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
  const unsigned other = (flags & O_ACCMODE) == O_RDONLY ? opens : opens | rofs;
  return fails(changes ? 'w' : 'd', call, path, changes ? creates : other);
}

/// Counts the open descriptors; with `into`, appends what they lead to.
int count_descriptors(char* into, std::size_t room) {
  DIR* all = ::opendir("/proc/self/fd");
  if (!all) return -1;
  int count = 0;
  while (const dirent* entry = ::readdir(all)) {
    if (entry->d_name[0] == '.') continue;
    ++count;
    char target[128];
    const ssize_t n = ::readlinkat(::dirfd(all), entry->d_name, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    if (into && room > strlen(target) + 2) {
      const int used = snprintf(into, room, " %s", target);
      into += used;
      room -= static_cast<std::size_t>(used);
    }
  }
  ::closedir(all);
  return count;
}

[[gnu::constructor]] void begin() {
  if (const char* file = ::getenv("FAIL_TRACE"))
    set.trace = static_cast<int>(
        ::syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  set.note = ::getenv("FAIL_NOTE");
  if (const char* at = ::getenv("FAIL_AT")) set.at = ::atol(at);
  if (const char* times = ::getenv("FAIL_FOR")) set.times = ::atol(times);
  if (const char* how = ::getenv("FAIL_HOW"))
    set.how = strcmp(how, "KILL") == 0    ? kill_it
              : strcmp(how, "SHORT") == 0 ? write_short
                                          : ::atoi(how);
  set.descriptors = count_descriptors(nullptr, 0);
}

[[gnu::destructor]] void end() {
  char leads_to[4000] = "";
  const int now = count_descriptors(leads_to, sizeof leads_to - 1);
  char line[4100];
  note(line, snprintf(line, sizeof line, "descriptors %d %d%s\n", set.descriptors, now, leads_to));
}

}  // namespace

#define CALL(kind, can, name, what, parameters, ...) \
  extern "C" int name parameters {                   \
    static const auto real = next(&::name, #name);   \
    if (fails(kind, #name, what, can)) return -1;    \
    return real(__VA_ARGS__);                        \
  }

CALL('w', makes_entry, rename, to, (const char* from, const char* to) noexcept, from, to)
CALL('w', makes_entry, renameat, to, (int d, const char* from, int e, const char* to) noexcept, d,
     from, e, to)
CALL('w', makes_entry, renameat2, to,
     (int d, const char* from, int e, const char* to, unsigned flags) noexcept, d, from, e, to,
     flags)
CALL('w', makes_entry, link, to, (const char* from, const char* to) noexcept, from, to)
CALL('w', makes_entry, linkat, to, (int d, const char* from, int e, const char* to, int f) noexcept,
     d, from, e, to, f)
CALL('w', makes_entry, symlink, to, (const char* from, const char* to) noexcept, from, to)
CALL('w', makes_entry, symlinkat, to, (const char* from, int d, const char* to) noexcept, from, d,
     to)
CALL('w', removes, unlink, path, (const char* path) noexcept, path)
CALL('w', removes, unlinkat, path, (int d, const char* path, int flags) noexcept, d, path, flags)
CALL('w', removes, rmdir, path, (const char* path) noexcept, path)
CALL('w', removes, remove, path, (const char* path) noexcept, path)
CALL('w', makes_entry, mkdir, path, (const char* path, mode_t mode) noexcept, path, mode)
CALL('w', makes_entry, mkdirat, path, (int d, const char* path, mode_t mode) noexcept, d, path,
     mode)
CALL('w', removes, chmod, path, (const char* path, mode_t mode) noexcept, path, mode)
CALL('w', removes, fchmodat, path, (int d, const char* path, mode_t mode, int flags) noexcept, d,
     path, mode, flags)
CALL('w', removes, fchmod, path_of(fd).text, (int fd, mode_t mode) noexcept, fd, mode)
CALL('w', removes, utimes, path, (const char* path, const timeval times[2]) noexcept, path, times)
CALL('w', removes, utimensat, path,
     (int d, const char* path, const timespec times[2], int flags) noexcept, d, path, times, flags)
CALL('w', removes, futimens, path_of(fd).text, (int fd, const timespec times[2]) noexcept, fd,
     times)
CALL('w', io | intr, truncate, path, (const char* path, off_t size) noexcept, path, size)
CALL('w', io | intr, ftruncate, path_of(fd).text, (int fd, off_t size) noexcept, fd, size)
CALL('w', nospc | io | intr, fallocate, path_of(fd).text, (int fd, int mode, off_t at, off_t size),
     fd, mode, at, size)
CALL('w', syncs, fsync, path_of(fd).text, (int fd), fd)
CALL('w', syncs, fdatasync, path_of(fd).text, (int fd), fd)
CALL('w', io, syncfs, path_of(fd).text, (int fd) noexcept, fd)
CALL('w', io | nospc, sync_file_range, path_of(fd).text,
     (int fd, off64_t from, off64_t size, unsigned flags), fd, from, size, flags)
CALL('w', intr, flock, path_of(fd).text, (int fd, int how) noexcept, fd, how)
CALL('d', mfile, pipe2, "", (int fds[2], int flags) noexcept, fds, flags)
CALL('d', mfile, pipe, "", (int fds[2]) noexcept, fds)
CALL('d', mfile, socketpair, "", (int domain, int type, int protocol, int fds[2]) noexcept, domain,
     type, protocol, fds)
CALL('d', mfile, eventfd, "", (unsigned count, int flags) noexcept, count, flags)
CALL('d', mfile, epoll_create1, "", (int flags) noexcept, flags)
CALL('d', mfile, timerfd_create, "", (clockid_t clock, int flags) noexcept, clock, flags)

#define OPEN(name)                                                        \
  extern "C" int name(const char* path, int flags, ...) {                 \
    static const auto real = next(&::name, #name);                        \
    va_list more;                                                         \
    va_start(more, flags);                                                \
    const mode_t mode = mode_of(flags, more);                             \
    va_end(more);                                                         \
    return open_fails(#name, path, flags) ? -1 : real(path, flags, mode); \
  }
#define OPENAT(name)                                                         \
  extern "C" int name(int d, const char* path, int flags, ...) {             \
    static const auto real = next(&::name, #name);                           \
    va_list more;                                                            \
    va_start(more, flags);                                                   \
    const mode_t mode = mode_of(flags, more);                                \
    va_end(more);                                                            \
    return open_fails(#name, path, flags) ? -1 : real(d, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

// What fortified headers and <cstdio> make of an open.
extern "C" int __openat64_2(int d, const char* path, int flags);
CALL('d', opens, __openat64_2, path, (int d, const char* path, int flags), d, path, flags)

extern "C" FILE* fopen64(const char* path, const char* mode) {
  static const auto real = next(&::fopen64, "fopen64");
  const bool changes = strpbrk(mode, "wa+") != nullptr;
  return fails(changes ? 'w' : 'd', "fopen64", path, changes ? creates : opens) ? nullptr
                                                                                : real(path, mode);
}

extern "C" int mkostemp(char* name, int flags) {
  static const auto real = next(&::mkostemp, "mkostemp");
  return fails('w', "mkostemp", name, creates) ? -1 : real(name, flags);
}

extern "C" char* mkdtemp(char* name) noexcept {
  static const auto real = next(&::mkdtemp, "mkdtemp");
  return fails('w', "mkdtemp", name, makes_entry) ? nullptr : real(name);
}

#define WRITE(name, parameters, whole, one_byte)                         \
  extern "C" ssize_t name parameters {                                   \
    static const auto real = next(&::name, #name);                       \
    const path_of path(fd);                                              \
    const int instead = path ? point('w', #name, path.text, writes) : 0; \
    if (instead == write_short) return one_byte;                         \
    errno = instead > 0 ? instead : errno;                               \
    return instead > 0 ? -1 : whole;                                     \
  }
WRITE(write, (int fd, const void* bytes, std::size_t size), real(fd, bytes, size),
      real(fd, bytes, size > 0 ? 1 : 0))
WRITE(pwrite, (int fd, const void* bytes, std::size_t size, off_t at), real(fd, bytes, size, at),
      real(fd, bytes, size > 0 ? 1 : 0, at))
WRITE(writev, (int fd, const iovec* parts, int count), real(fd, parts, count),
      real(fd, parts, count > 0 ? 1 : 0))
WRITE(sendfile, (int fd, int from, off_t* at, std::size_t size) noexcept, real(fd, from, at, size),
      real(fd, from, at, size > 0 ? 1 : 0))

extern "C" ssize_t copy_file_range(int from, off64_t* at, int fd, off64_t* to, std::size_t size,
                                   unsigned flags) {
  static const auto real = next(&::copy_file_range, "copy_file_range");
  const int instead = point('w', "copy_file_range", path_of(fd).text, writes);
  if (instead > 0) errno = instead;
  return instead > 0 ? -1 : real(from, at, fd, to, instead == write_short ? 1 : size, flags);
}

extern "C" int fcntl(int fd, int command, ...) {
  static const auto real = next(&::fcntl, "fcntl");
  va_list more;
  va_start(more, command);
  void* const argument = va_arg(more, void*);  // an int or a pointer: the register is the same
  va_end(more);
  const bool locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK;
  if (locks && fails('w', "fcntl", path_of(fd).text, intr)) return -1;
  const bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  if (copies && fails('d', "fcntl", "", mfile)) return -1;
  return real(fd, command, argument);
}

extern "C" int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* attributes, char* const argv[],
                           char* const env[]) {
  static const auto real = next(&::posix_spawn, "posix_spawn");
  const int instead = point('w', "posix_spawn", path, starts);
  return instead > 0 ? instead : real(pid, path, actions, attributes, argv, env);
}

extern "C" int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                            const posix_spawnattr_t* attributes, char* const argv[],
                            char* const env[]) {
  static const auto real = next(&::posix_spawnp, "posix_spawnp");
  const int instead = point('w', "posix_spawnp", file, starts);
  return instead > 0 ? instead : real(pid, file, actions, attributes, argv, env);
}

// openat2 and pidfd_open have no function in glibc 2.36; six words hold the arguments of any call.
extern "C" long syscall(long number, ...) noexcept {
  static const auto real = next(&::syscall, "syscall");
  va_list more;
  va_start(more, number);
  long a[6];
  for (long& word : a) word = va_arg(more, long);
  va_end(more);
  const bool makes = number == SYS_openat2 || number == SYS_pidfd_open;
  const char* const path = number == SYS_openat2 ? reinterpret_cast<const char*>(a[1]) : "";
  if (makes && fails('d', number == SYS_openat2 ? "openat2" : "pidfd_open", path, mfile)) return -1;
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#include "process/launcher.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace remora::process {

namespace {

boost::system::error_code posix_error(int e) {
  return {e, boost::system::generic_category()};
}

struct attributes {
  attributes() {
    ::posix_spawnattr_init(&value);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&value, &none);
    ::posix_spawnattr_setsigdefault(&value, &all);
    ::posix_spawnattr_setflags(&value,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~attributes() { ::posix_spawnattr_destroy(&value); }
  attributes(const attributes&) = delete;
  attributes& operator=(const attributes&) = delete;
  posix_spawnattr_t value;
};

}  // namespace

boost::system::error_code session_launcher::bind(const std::vector<int>& map) {
  const int size = static_cast<int>(map.size());
  for (int to = 0; to < size; ++to) {
    // Out of the way first: a target may be the number of a source that comes later.
    moved_.emplace_back(::fcntl(map[static_cast<std::size_t>(to)], F_DUPFD_CLOEXEC, size));
    if (!moved_.back()) return posix_error(errno);
    if (const int e = ::posix_spawn_file_actions_adddup2(&actions_, moved_.back().get(), to))
      return posix_error(e);
  }
  // Ours are close-on-exec, but not what we were started with.
  return posix_error(::posix_spawn_file_actions_addclosefrom_np(&actions_, size));
}

boost::system::error_code session_launcher::spawn(const char* path, const char* const* argv,
                                                  launched& child) {
  const attributes attr;
  // posix_spawn takes its arguments as exec does, without const, and does not change them.
  if (const int e = ::posix_spawn(&child.pid, path, &actions_, &attr.value,
                                  const_cast<char* const*>(argv), const_cast<char* const*>(env)))
    return posix_error(e);
  // It is our child and nobody waits for it: the pid cannot have been used again.
  child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  if (child.pidfd) return {};
  const int e = errno;
  ::kill(child.pid, SIGKILL);
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) continue;
  return posix_error(e);
}

}  // namespace remora::process

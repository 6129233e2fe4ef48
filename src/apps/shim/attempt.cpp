#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/shim_protocol.hpp"
#include "shim.hpp"

namespace shim {

namespace at = remora::process::shim;

namespace {

off_t self_end = 0;  // of our line in the lock, without its newline

}  // namespace

bool record_self() {
  process self = {};
  char boot[64] = {};
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof boot - 1);
  if (fd >= 0) close(fd);
  for (ssize_t i = 0; i < n; ++i)
    if (boot[i] == '\n') boot[i] = '\0';
  char line[128];
  // Without /proc nobody could know us again, but that somebody was here.
  const int size = read_process(getpid(), self)
                       ? snprintf(line, sizeof line, "%d %llu %s\n", self.pid, self.start, boot)
                       : snprintf(line, sizeof line, "unknown\n");
  const bool written = pwrite(at::lock_fd, line, static_cast<std::size_t>(size), 0) == size;
  if (written) self_end = size - 1;
  return written;
}

void record_end() {
  char mark[16];
  const int size = snprintf(mark, sizeof mark, " %s\n", at::ended_mark);
  if (self_end > 0) (void)!pwrite(at::lock_fd, mark, static_cast<std::size_t>(size), self_end);
}

void record_exit(int status) {
  char line[32];
  const int size = WIFEXITED(status)
                       ? snprintf(line, sizeof line, "exited %d\n", WEXITSTATUS(status))
                       : snprintf(line, sizeof line, "signal %d\n", WTERMSIG(status));
  // Whole or not at all: a power cut must not leave an empty `exit` that says nothing.
  const int fd = openat(at::dir_fd, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool whole = write(fd, line, static_cast<std::size_t>(size)) == size && fsync(fd) == 0;
  close(fd);
  if (whole && renameat(at::dir_fd, "exit.new", at::dir_fd, "exit") == 0) fsync(at::dir_fd);
}

namespace {

void drain(int from, const char* name) {
  static char buffer[16 << 10];
  int into = -1;
  // At most a pipe's worth, so that a flood does not keep us from everything else.
  ssize_t n = 0;
  for (int i = 0; i < 64 && (n = read(from, buffer, sizeof buffer)) > 0; ++i) {
    if (into < 0) into = openat(at::dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    for (ssize_t done = 0; done < n;) {
      const ssize_t some = write(into, buffer + done, static_cast<std::size_t>(n - done));
      if (some <= 0) break;  // a full disk: the agent must not block on us all the same
      done += some;
    }
  }
  if (into >= 0) close(into);
}

}  // namespace

void drain_output() {
  drain(at::out_fd, "out");
  drain(at::err_fd, "err");
}

}  // namespace shim

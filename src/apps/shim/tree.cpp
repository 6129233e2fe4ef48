// Reads /proc. `task/TID/children` lists the children that a thread forked; a subreaper's adopted
// ones are there too.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.hpp"

namespace shim {

namespace {

ssize_t read_small(const char* path, char* into, std::size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  errno = EIO;  // an end of file does not set it
  const ssize_t n = read(fd, into, size - 1);
  close(fd);
  if (n >= 0) into[n] = '\0';
  return n;
}

/// After a failure, in errno: it is not there any more, and nothing was missed.
bool was_gone() {
  return errno == ENOENT || errno == ESRCH;
}

/// What follows the name in a stat line: the state's letter first. The name may hold anything.
const char* after_name(const char* stat) {
  const char* end = strrchr(stat, ')');
  return end && end[1] == ' ' ? end + 2 : nullptr;
}

/// False: it could not be read.
bool append_children_file(const char* path, process_list& into) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return was_gone();
  char buffer[1024];
  pid_t pid = 0;
  bool all = true;
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        pid = pid * 10 + (buffer[i] - '0');
        continue;
      }
      process p;
      if (pid > 0) all = (read_process(pid, p) ? append(into, p) : was_gone()) && all;
      pid = 0;
    }
  }
  all = all && (n == 0 || was_gone());
  close(fd);
  return all;
}

/// Calls `visit(pid, tid)` for each thread. False: they could not be listed.
template <class Visit>
bool each_thread(pid_t pid, Visit visit) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR* dir = opendir(path);
  if (!dir) return was_gone();
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.') visit(pid, atoi(entry->d_name));
  closedir(dir);
  return true;
}

bool append_children(pid_t pid, process_list& into) {
  bool all = true;
  bool any = false;
  const bool listed = each_thread(pid, [&](pid_t of, pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", of, tid);
    all = append_children_file(path, into) && all;
    any = true;
  });
  return listed && all && (any || pid != getpid());  // we are there: without /proc we see nobody
}

activity activity_of_thread(pid_t pid, pid_t tid) {
  char path[64];
  char stat[256];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
  if (read_small(path, stat, sizeof stat) <= 0)
    return was_gone() ? activity::gone : activity::running;
  const char* state = after_name(stat);
  if (!state) return activity::running;
  switch (*state) {
    case 'T':
    case 't':  // stopped by its tracer, which is in the tree
      return activity::stopped;
    case 'Z':
    case 'X':
      return activity::gone;
    case 'D':
      return activity::uninterruptible;
    default:
      return activity::running;
  }
}

}  // namespace

bool append(process_list& list, const process& p) {
  if (list.count == list.capacity) {
    const std::size_t capacity = list.capacity ? 2 * list.capacity : 32;
    void* grown = realloc(list.items, capacity * sizeof(process));
    if (!grown) return false;
    list.items = static_cast<process*>(grown);
    list.capacity = capacity;
  }
  list.items[list.count++] = p;
  return true;
}

bool read_process(pid_t pid, process& p) {
  char path[64];
  char stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_small(path, stat, sizeof stat) <= 0) return false;
  const char* rest = after_name(stat);
  // state ppid pgrp, then 16 fields (session to itrealvalue), then starttime: proc(5).
  p.pid = pid;
  errno = EIO;  // what follows does not set it
  return rest && sscanf(rest,
                        "%*c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %llu",
                        &p.group, &p.start) == 2;
}

bool list_tree(process_list& into) {
  into.count = 0;
  bool all = append_children(getpid(), into);
  for (std::size_t i = 0; i < into.count; ++i)
    all = append_children(into.items[i].pid, into) && all;
  return all;
}

activity activity_of(pid_t pid) {
  activity all = activity::gone;
  const bool listed = each_thread(pid, [&](pid_t of, pid_t tid) {
    const activity one = activity_of_thread(of, tid);
    if (one > all) all = one;
  });
  return listed ? all : activity::running;
}

int hold_process(const process& p) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, p.pid, 0));
  if (fd < 0) return -1;
  process now;
  if (read_process(p.pid, now) && now.start == p.start) return fd;
  close(fd);
  return -1;
}

void signal_held(int fd, int signal) {
  syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0);
}

void signal_process(const process& p, int signal) {
  const int fd = hold_process(p);
  if (fd < 0) return;
  signal_held(fd, signal);
  close(fd);
}

void signal_tree(int signal, pid_t group) {
  static process_list tree;
  list_tree(tree);
  for (std::size_t i = 0; i < tree.count; ++i)
    if (group == 0 || tree.items[i].group == group) signal_process(tree.items[i], signal);
}

}  // namespace shim

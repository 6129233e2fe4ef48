// What the agent's tree may have at once: files of cgroups, in the leaf (v2) or in groups of the v1
// hierarchies that are made for it. What cannot be set is told, and the agent starts all the same.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.hpp"

namespace shim {

namespace {

struct group {
  char path[512];
  int procs;  // cgroup.procs, for the child
};

group groups[2];  // the memory and the pids hierarchy of v1
int made = 0;
bool leaf_has_limits = false;
int memory_events = -1;  // one of either version counts `oom_kill`
int pids_events = -1;

bool write_text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t size = static_cast<ssize_t>(strlen(text));
  const bool whole = write(fd, text, static_cast<size_t>(size)) == size;
  const int error = errno;
  close(fd);
  errno = error;
  return whole;
}

int open_in(const char* directory, const char* file, int flags) {
  char path[640];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  return open(path, flags | O_CLOEXEC);
}

void watch_counters(const char* directory) {
  if (memory_events < 0) memory_events = open_in(directory, "memory.events", O_RDONLY);
  if (memory_events < 0) memory_events = open_in(directory, "memory.oom_control", O_RDONLY);
  if (pids_events < 0) pids_events = open_in(directory, "pids.events", O_RDONLY);
}

/// The directory is there and the child will be in it.
bool have_group(const char* directory) {
  if (is_leaf(directory)) return leaf_has_limits = true;
  for (int i = 0; i < made; ++i)
    if (strcmp(groups[i].path, directory) == 0) return true;
  if (made == 2 || strlen(directory) >= sizeof groups[0].path) return false;
  // Left by a shim that was killed: empty, it can go. With somebody in it, it is not ours.
  if (mkdir(directory, 0755) != 0 &&
      (errno != EEXIST || rmdir(directory) != 0 || mkdir(directory, 0755) != 0))
    return false;
  const int procs = open_in(directory, "cgroup.procs", O_WRONLY);
  if (procs < 0) {
    rmdir(directory);
    return false;
  }
  strcpy(groups[made].path, directory);
  groups[made++].procs = procs;
  return true;
}

/// `VALUE PATH`, perhaps after a `?`.
bool set_limit(char* line) {
  const bool needed = *line != '?';
  const char* value = needed ? line : line + 1;
  char* path = strchr(line, ' ');
  char* slash = strrchr(line, '/');
  if (!path || !slash) return false;
  *path++ = '\0';
  *slash = '\0';
  const bool there = have_group(path);
  if (there) watch_counters(path);
  *slash = '/';
  return there && (write_text(path, value) || (!needed && errno == ENOENT));
}

/// Of a file with lines `KEY N`.
unsigned long long counter(int file, const char* key) {
  char text[512];
  const ssize_t n = file < 0 ? 0 : pread(file, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  const size_t length = strlen(key);
  for (const char* line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') ++line;
    if (strncmp(line, key, length) == 0 && line[length] == ' ')
      return strtoull(line + length, nullptr, 10);
  }
  return 0;
}

}  // namespace

bool set_limits(char* lines) {
  bool all = true;
  char* rest = nullptr;
  for (char* line = strtok_r(lines, "\n", &rest); line; line = strtok_r(nullptr, "\n", &rest))
    all = set_limit(line) && all;
  return all;
}

bool enter_limits(bool in_leaf) {
  bool all = in_leaf || !leaf_has_limits;
  for (int i = 0; i < made; ++i) all = pwrite(groups[i].procs, "0", 1, 0) == 1 && all;
  return all;
}

unsigned long long oom_kills() {
  return counter(memory_events, "oom_kill");
}

unsigned long long refused_forks() {
  return counter(pids_events, "max");
}

void remove_limits() {
  for (int i = 0; i < made; ++i) {
    close(groups[i].procs);
    // The last one of the tree may have been reaped a moment before it has left its group, and v1
    // tells nobody when it has.
    const std::int64_t until = now_ms() + 200;
    while (rmdir(groups[i].path) != 0 && errno == EBUSY && now_ms() < until) poll(nullptr, 0, 1);
  }
  made = 0;
}

}  // namespace shim

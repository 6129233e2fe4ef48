// The agent's leaf in the cgroup v2 tree. It makes freezing and killing one write each, to files
// that are open from the start: where nothing can be opened any more, the tree is thawed and ended
// all the same. All works without it too, so every failure here means "go on without".
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>

#include "shim.hpp"

namespace shim {

namespace {

const char* leaf_path = nullptr;
int leaf = -1;     // the directory
int events = -1;   // cgroup.events
int procs = -1;    // cgroup.procs, for the child
int freezer = -1;  // cgroup.freeze
int killer = -1;   // cgroup.kill, since Linux 5.14

bool put(int file, const char* text) {
  return pwrite(file, text, 1, 0) == 1;
}

/// Does cgroup.events hold `line`?
bool event(const char* line) {
  char text[128];
  const ssize_t n = pread(events, text, sizeof text - 1, 0);
  if (n <= 0) return false;
  text[n] = '\0';
  return strstr(text, line) != nullptr;
}

}  // namespace

void make_leaf(const char* path) {
  if (strcmp(path, "-") == 0) return;
  if (mkdir(path, 0755) != 0) {
    // Left by a shim that was killed: empty, it can go. With somebody in it, it is not ours.
    if (errno != EEXIST || rmdir(path) != 0 || mkdir(path, 0755) != 0) return;
  }
  leaf_path = path;
  leaf = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  events = openat(leaf, "cgroup.events", O_RDONLY | O_CLOEXEC);
  procs = openat(leaf, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  freezer = openat(leaf, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
  killer = openat(leaf, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (events < 0 || procs < 0 || freezer < 0) abandon_leaf();
}

bool enter_leaf() {
  return put(procs, "0");
}

void abandon_leaf() {
  remove_leaf();
  for (int* fd : {&leaf, &events, &procs, &freezer, &killer}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  leaf_path = nullptr;
}

bool have_leaf() {
  return leaf >= 0;
}

bool freeze_leaf(std::int64_t until_ms) {
  if (!put(freezer, "1")) return false;
  for (;;) {
    if (event("frozen 1")) return true;
    if (now_ms() >= until_ms) return false;
    // Looked at each millisecond as well: the kernel tells of a change only 10 ms after the one
    // before (CGROUP_FILE_NOTIFY_MIN_INTV), as of a tree that has just been thawed.
    pollfd changed = {events, POLLPRI, 0};
    poll(&changed, 1, 1);
  }
}

void thaw_leaf() {
  put(freezer, "0");
}

void kill_leaf() {
  put(killer, "1");  // the walk kills without it too
}

bool leaf_populated() {
  return have_leaf() && !event("populated 0");
}

void remove_leaf() {
  if (leaf_path) rmdir(leaf_path);
}

bool is_leaf(const char* directory) {
  return leaf_path && strcmp(leaf_path, directory) == 0;
}

}  // namespace shim

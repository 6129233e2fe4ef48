// SIGSTOP in passes: whoever runs is stopped, until two passes in a row find the same processes
// and all of them stopped. One such pass is not enough: a process may fork after its children were
// read and stop before its state is. The second pass reads the children of processes that had
// stopped before it began.
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process/shim_protocol.hpp"
#include "shim.hpp"

namespace shim {

namespace {

// By us, in the order of the stops: whoever was stopped before is not here. They are held, so that
// they can be thawed where nothing can be opened any more.
process_list stopped;

bool same(const process& a, const process& b) {
  return a.pid == b.pid && a.start == b.start;
}

bool same(const process_list& a, const process_list& b) {
  if (a.count != b.count) return false;
  for (std::size_t i = 0; i < a.count; ++i)
    if (!same(a.items[i], b.items[i])) return false;
  return true;
}

void stop(const process& p) {
  for (std::size_t i = stopped.count; i-- > 0;)
    if (same(stopped.items[i], p)) return;  // on its way
  process held = p;
  held.fd = hold_process(p);
  if (held.fd < 0) return;
  if (append(stopped, held))
    signal_held(held.fd, SIGSTOP);
  else
    close(held.fd);
}

struct pass_result {
  bool running = false;
  bool uninterruptible = false;
};

pass_result stop_pass(process_list& tree) {
  pass_result found;
  reap();  // a tree that forks fast leaves us more dead than a pass can look at
  found.running = !list_tree(tree);
  for (std::size_t i = 0; i < tree.count; ++i) {
    const activity a = activity_of(tree.items[i].pid);
    if (a == activity::gone || a == activity::stopped) continue;
    (a == activity::running ? found.running : found.uninterruptible) = true;
    stop(tree.items[i]);
  }
  return found;
}

bool stop_tree(std::int64_t until) {
  static process_list tree;
  static process_list before;
  before.count = 0;
  bool clean_before = false;
  for (;;) {
    const pass_result found = stop_pass(tree);
    const bool late = now_ms() >= until;
    // Who sleeps in the kernel runs nothing of its own before it sees the SIGSTOP.
    const bool clean = !found.running && (late || !found.uninterruptible);
    if (clean && clean_before && same(tree, before)) return true;
    if (late && !clean) return false;
    const process_list swapped = before;
    before = tree;
    tree = swapped;
    clean_before = clean;
    if (clean) continue;
    // The kernel tells nobody when a grandchild stops: look again in a millisecond.
    const timespec a_moment = {0, 1'000'000};
    nanosleep(&a_moment, nullptr);
  }
}

}  // namespace

bool freeze(std::int64_t& took_ms) {
  const std::int64_t begun = now_ms();
  const std::int64_t until = begun + remora::process::shim::freeze_bound_ms;
  const bool whole = have_leaf() ? freeze_leaf(until) : stop_tree(until);
  if (!whole) thaw();
  took_ms = now_ms() - begun;
  return whole;
}

void signal_stopped(int signal) {
  // Children before parents: a shell sees its job go on when it looks.
  for (std::size_t i = stopped.count; i-- > 0;) signal_held(stopped.items[i].fd, signal);
}

void thaw() {
  thaw_leaf();
  signal_stopped(SIGCONT);
  for (std::size_t i = 0; i < stopped.count; ++i) close(stopped.items[i].fd);
  stopped.count = 0;
}

}  // namespace shim

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

#include "process/shim_protocol.hpp"
#include "shim.hpp"

namespace at = remora::process::shim;

namespace shim {

std::int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

void say(const char* format, ...) {
  char text[at::message_bytes];
  va_list arguments;
  va_start(arguments, format);
  const int n = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  send(at::control_fd, text, static_cast<std::size_t>(n), MSG_NOSIGNAL);
}

namespace {

pid_t agent = 0;
bool agent_reaped = false;
bool sent_kill = false;  // to the agent

}  // namespace

bool reap() {
  for (;;) {
    int status;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0) return errno == ECHILD;
    if (pid == 0) return false;
    if (pid != agent) continue;
    agent_reaped = true;
    record_exit(status);  // first: what was told can be looked up
    if (WIFEXITED(status))
      say("exited code %d", WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGKILL && !sent_kill && oom_kills() > 0)
      say("exited signal %d oom", WTERMSIG(status));
    else
      say("exited signal %d", WTERMSIG(status));
  }
}

}  // namespace shim

namespace {

using namespace shim;

bool alone = false;  // the orchestrator is gone, or let go of us
bool killing = false;
std::int64_t kill_at = -1;  // TERM was sent; then KILL
int pass_ms = 1;  // to the next look at a tree that is to go, while nothing is heard of it

/// Descriptors 4 and 5 are read by us only when nobody else does, and then without blocking.
void become_reader() {
  for (const int fd : {at::out_fd, at::err_fd}) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void set_up_signals(int& signals) {
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) signal(s, SIG_IGN);
  struct sigaction child = {};
  child.sa_handler = SIG_DFL;
  child.sa_flags = SA_NOCLDSTOP;
  sigaction(SIGCHLD, &child, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, at::give_up_signal);
  sigprocmask(SIG_SETMASK, &set, nullptr);
  signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void kill_pass() {
  sent_kill = true;
  kill_leaf();
  if (!agent_reaped) kill(-agent, SIGKILL);  // this and the next need nothing opened
  signal_stopped(SIGKILL);
  signal_tree(SIGKILL);  // also those that left the leaf; KILL acts on the stopped and the frozen
}

int signal_number(const char* name) {
  for (int s = 1; s < SIGRTMIN; ++s) {
    const char* known = sigabbrev_np(s);
    if (known && strcmp(known, name) == 0) return s;
  }
  return atoi(name);
}

/// To the agent's process group. Its number is the agent's pid: nobody else's until we reap the
/// agent, afterwards only those of the tree are meant.
void signal_group(int signal) {
  if (signal == SIGKILL) sent_kill = true;
  if (!agent_reaped)
    kill(-agent, signal);
  else
    signal_tree(signal, agent);
}

void obey(const char* command) {
  if (strcmp(command, "freeze") == 0) {
    std::int64_t took = 0;
    const bool whole = freeze(took);
    say("frozen %lld %d", static_cast<long long>(took), whole ? 1 : 0);
  } else if (strcmp(command, "thaw") == 0) {
    thaw();
    say("thawed");
  } else if (strncmp(command, "signal ", 7) == 0) {
    signal_group(signal_number(command + 7));
    say("ok");
  } else if (strcmp(command, "kill") == 0 || strcmp(command, "end") == 0) {
    killing = true;
    say("ok");
  }
}

/// False: end of file.
bool read_control() {
  char text[at::message_bytes];
  const ssize_t n = recv(at::control_fd, text, sizeof text - 1, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  text[n] = '\0';
  obey(text);
  return true;
}

/// Nobody is there to say what to do, so the tree must go: asked, then made to.
void be_alone() {
  alone = true;
  become_reader();
  if (killing) return;
  signal_tree(SIGTERM);
  thaw();  // who is frozen cannot obey
  kill_at = now_ms() + at::term_grace_ms;
}

int poll_timeout(bool childless) {
  std::int64_t timeout = -1;
  if (killing || childless) timeout = pass_ms;
  if (!killing && kill_at >= 0) timeout = kill_at - now_ms();
  return static_cast<int>(timeout < -1 ? 0 : timeout);
}

void wait_for_something(int signals, bool childless) {
  pollfd fds[] = {{signals, POLLIN, 0},
                  {alone ? -1 : at::control_fd, POLLIN, 0},
                  {alone ? at::out_fd : -1, POLLIN, 0},
                  {alone ? at::err_fd : -1, POLLIN, 0}};
  // An end of file stays readable for ever: once there, there is nothing to wait for.
  static bool ended[2];
  for (int i = 0; i < 2; ++i)
    if (ended[i]) fds[2 + i].fd = -1;
  const int ready = poll(fds, 4, poll_timeout(childless));
  if (ready == 0) pass_ms = pass_ms < 64 ? 2 * pass_ms : 100;
  if (ready <= 0) return;
  bool given_up = false;
  signalfd_siginfo heard;
  while (read(signals, &heard, sizeof heard) > 0) {
    pass_ms = 1;
    given_up = given_up || heard.ssi_signo == at::give_up_signal;
  }
  if (fds[2].revents || fds[3].revents) drain_output();
  for (int i = 0; i < 2; ++i)
    if (fds[2 + i].revents & POLLHUP) ended[i] = true;
  if (alone) return;
  if (given_up || (fds[1].revents && !read_control())) be_alone();
}

/// Until nobody is left.
void watch(int signals) {
  for (;;) {
    const bool childless = reap();
    // The cgroup may lag behind the last wait, or somebody from outside may have joined it.
    if (childless && !leaf_populated()) return;
    if (!killing && kill_at >= 0 && now_ms() >= kill_at) killing = true;
    if (killing) kill_pass();
    wait_for_something(signals, childless);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    static const char usage[] = "remora-shim is started by remora, one for each agent\n";
    return write(2, usage, sizeof usage - 1) > 0 ? 2 : 3;
  }
  int signals = -1;
  set_up_signals(signals);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (record_self()) {
    make_leaf(argv[3]);
    const bool limited = set_limits(argv[5]);
    agent = start_agent({argv[2], argv[4], argv + 6}, limited);
  } else {
    say("exec_failed %d lock", errno);
  }
  if (agent != 0) watch(signals);
  if (alone) drain_output();
  const unsigned long long killed = oom_kills();
  const unsigned long long refused = refused_forks();
  remove_limits();
  remove_leaf();
  say("empty %llu %llu", killed, refused);
  record_end();
  _exit(0);  // the lock goes with us
}

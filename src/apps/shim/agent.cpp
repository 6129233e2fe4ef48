#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "process/shim_protocol.hpp"
#include "shim.hpp"

namespace shim {

namespace {

enum step : int { step_cgroup, step_limits, step_chdir, step_exec };
constexpr const char* step_names[] = {"cgroup", "limits", "chdir", "exec"};

struct report {  // from the child, through a pipe that a successful exec closes
  int step;
  int error;
};

void tell(int pipe, step failed) {
  const report r = {failed, errno};
  if (write(pipe, &r, sizeof r) != sizeof r) _exit(127);
}

void restore_defaults(const char* nofile) {
  // Ignored signals and the mask survive exec.
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) signal(s, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = strtoul(nofile, nullptr, 10);
  if (wanted == 0 || wanted > limit.rlim_max) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

[[noreturn]] void become_agent(const agent_spec& spec, pid_t shim, int pipe) {
  setsid();
  // Our death is the agent's: what it leaves falls to the orchestrator, a subreaper as well.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(127);  // we died before the prctl
  const bool in_leaf = enter_leaf();
  if (!in_leaf) tell(pipe, step_cgroup);
  if (!enter_limits(in_leaf)) tell(pipe, step_limits);
  restore_defaults(spec.nofile);
  if (syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) != 0)  // before Linux 5.11
    for (int fd = 3; fd < remora::process::shim::first_free_fd; ++fd)
      fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (chdir(spec.cwd) != 0) {
    tell(pipe, step_chdir);
  } else {
    execvp(spec.argv[0], spec.argv);  // our PATH is the agent's
    tell(pipe, step_exec);
  }
  _exit(127);
}

/// 0 1 2 were the agent's: holding its pipes open would hide their end.
void leave_stdio() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  if (null > 2) close(null);
}

}  // namespace

pid_t start_agent(const agent_spec& spec, bool limited) {
  int pipe[2];
  const pid_t shim = getpid();
  pid_t pid = -1;
  if (pipe2(pipe, O_CLOEXEC) == 0) pid = fork();
  if (pid < 0) {
    say("exec_failed %d fork", errno);
    return 0;
  }
  if (pid == 0) become_agent(spec, shim, pipe[1]);
  close(pipe[1]);
  leave_stdio();
  report r;
  ssize_t n;
  bool in_leaf = have_leaf();
  while ((n = read(pipe[0], &r, sizeof r)) != 0) {
    if (n < 0) continue;  // EINTR is all there is
    if (r.step == step_cgroup)
      in_leaf = false;
    else if (r.step == step_limits)
      limited = false;
    else
      break;
  }
  close(pipe[0]);
  if (!in_leaf) abandon_leaf();
  if (n != 0) {
    waitpid(pid, nullptr, 0);  // it is past all it does
    say("exec_failed %d %s", r.error, step_names[r.step]);
    return 0;
  }
  process p = {};
  read_process(pid, p);  // it is our child and not reaped: it is there
  say("started %d %llu %d %d", pid, p.start, in_leaf ? 1 : 0, limited ? 1 : 0);
  return pid;
}

}  // namespace shim

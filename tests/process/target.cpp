// The agent of the process tests: does what its arguments say. Prints `ready` (or what it was
// asked for) once that is so.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

extern char** environ;

namespace {

using arguments = std::vector<std::string>;

void say(const std::string& text) {
  if (write(1, text.data(), text.size()) < 0) _exit(99);
}

[[noreturn]] void wait_for_ever() {
  for (;;) pause();
}

int print(const arguments& a) {
  for (const auto& text : a) say(text);
  return 0;
}

int exit_code(const arguments& a) {
  return atoi(a.at(0).c_str());
}

int wait_ready(const arguments&) {
  say("ready\n");
  wait_for_ever();
}

int ignore_term(const arguments&) {
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) signal(s, SIG_IGN);
  say("ready\n");
  wait_for_ever();
}

int obey_term(const arguments&) {
  signal(SIGTERM, [](int) {
    say("term\n");
    _exit(7);
  });
  say("ready\n");
  wait_for_ever();
}

/// Leaves a process in a session of its own behind: prints its pid; `stay`: does not exit itself;
/// `hold`: the daemon keeps our output open.
int leave_daemon(const arguments& a) {
  const auto is = [&](const char* word) { return std::find(a.begin(), a.end(), word) != a.end(); };
  int spoken[2];
  if (pipe(spoken) != 0) return 99;
  if (fork() == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) signal(s, SIG_IGN);
    say(std::to_string(getpid()) + "\n");
    if (!is("hold"))
      for (int fd = 0; fd <= 2; ++fd) close(fd);
    close(spoken[0]);
    close(spoken[1]);
    wait_for_ever();
  }
  wait(nullptr);
  close(spoken[1]);
  char c;
  while (read(spoken[0], &c, 1) > 0) continue;  // its end: the daemon has told its pid
  if (is("stay")) wait_for_ever();
  return 0;
}

/// As `sh -c` does: a child in our process group, and we wait for it. Prints its pid.
int wrap(const arguments&) {
  const pid_t child = fork();
  if (child == 0) wait_for_ever();
  say(std::to_string(child) + "\n");
  waitpid(child, nullptr, 0);
  return 0;
}

int stop_self(const arguments&) {
  say("ready\n");
  raise(SIGSTOP);
  say("continued\n");
  wait_for_ever();
}

/// Holds a job that it has stopped itself, as a shell may; prints its pid.
int hold_stopped_job(const arguments&) {
  const pid_t job = fork();
  if (job == 0) {
    raise(SIGSTOP);
    say("woken\n");
    wait_for_ever();
  }
  int status = 0;
  waitpid(job, &status, WUNTRACED);
  say(std::to_string(job) + "\n");
  wait_for_ever();
}

/// Orphans that exit at once: somebody has to reap them.
int make_orphans(const arguments& a) {
  int alive[2];
  if (pipe(alive) != 0) return 99;
  for (int i = atoi(a.at(0).c_str()); i > 0; --i) {
    const pid_t child = fork();
    if (child == 0) _exit(fork() == 0 ? 0 : 0);
    waitpid(child, nullptr, 0);
  }
  close(alive[1]);
  char c;
  while (read(alive[0], &c, 1) > 0) continue;  // its end: none is left
  say("ready\n");
  wait_for_ever();
}

/// A chain of processes, each of which prints, forks the next one and exits.
int fork_loop(const arguments& a) {
  for (int i = atoi(a.at(0).c_str()); i > 0; --i) {
    say("x");
    if (fork() != 0) return 0;
    setsid();
  }
  wait_for_ever();
}

int print_for_ever(const arguments&) {
  for (;;) say("x");
}

int flood(const arguments& a) {
  const std::string block(64 << 10, 'x');
  const int fd = a.at(0) == "err" ? 2 : 1;
  for (long left = atol(a.at(1).c_str()); left > 0;) {
    const ssize_t n =
        write(fd, block.data(), std::min<std::size_t>(block.size(), std::size_t(left)));
    if (n < 0) return 98;
    left -= n;
  }
  return 0;
}

int list_descriptors(const arguments&) {
  DIR* dir = opendir("/proc/self/fd");
  std::vector<int> fds;
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
      fds.push_back(atoi(entry->d_name));
  std::sort(fds.begin(), fds.end());
  for (const int fd : fds) say(std::to_string(fd) + " ");
  return 0;
}

int print_environment(const arguments&) {
  for (char** e = environ; *e; ++e) say(std::string(*e) + "\n");
  return 0;
}

/// What exec leaves as it was: session, group, mask, ignored signals, soft descriptor limit.
int print_state(const arguments&) {
  std::string text = std::to_string(getsid(0)) + " " + std::to_string(getpgrp()) + " ";
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  int blocked = 0;
  int ignored = 0;
  for (int s = 1; s < SIGRTMIN; ++s) {
    struct sigaction now{};
    if (sigaction(s, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) ++ignored;
    if (sigismember(&mask, s) == 1) ++blocked;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  say(text + std::to_string(blocked) + " " + std::to_string(ignored) + " " +
      std::to_string(limit.rlim_cur));
  return 0;
}

int copy_input(const arguments&) {
  char buffer[4096];
  for (ssize_t n; (n = read(0, buffer, sizeof buffer)) > 0;)
    say(std::string(buffer, static_cast<std::size_t>(n)));
  return 0;
}

int close_input(const arguments&) {
  close(0);
  say("ready\n");
  wait_for_ever();
}

int use_cpu(const arguments& a) {
  const clock_t until = clock() + atol(a.at(0).c_str()) * (CLOCKS_PER_SEC / 1000);
  while (clock() < until) continue;
  say("ready\n");
  wait_for_ever();
}

/// What is answered at $REMORA_SOCKET; `daemon`: to a process whose parents are gone.
int ask(const arguments& a) {
  if (a.at(0) == "daemon") {
    const pid_t child = fork();
    if (child == 0) {
      setsid();
      if (fork() != 0) _exit(0);
    } else {
      waitpid(child, nullptr, 0);
      wait_for_ever();
    }
  }
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const char* path = getenv("REMORA_SOCKET");
  if (!path) return 96;
  strncpy(name.sun_path, path, sizeof name.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) return 95;
  const std::string line = a.at(0) + "\n";
  if (send(fd, line.data(), line.size(), MSG_NOSIGNAL) < 0) return 94;
  char c;
  while (read(fd, &c, 1) > 0) say(std::string(1, c));
  return 0;
}

int kill_group(const arguments&) {
  return kill(0, SIGKILL);
}

/// Takes so many MiB and uses them all.
int use_memory(const arguments& a) {
  const std::size_t bytes = std::strtoul(a.at(0).c_str(), nullptr, 10) << 20;
  std::vector<char> taken(bytes);
  for (std::size_t i = 0; i < bytes; i += 4096) taken[i] = 1;
  say("used\n");
  return 0;
}

/// A tool does that; prints which signal ended it, and waits.
int let_tool_use_memory(const arguments& a) {
  const pid_t tool = fork();
  if (tool == 0) _exit(use_memory(a));
  int status = 0;
  waitpid(tool, &status, 0);
  say("signal " + std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : 0) + "\n");
  wait_for_ever();
}

/// Tries to have so many children at once; prints how many it got.
int fork_many(const arguments& a) {
  int got = 0;
  for (int i = 0; i < atoi(a.at(0).c_str()); ++i) {
    const pid_t child = fork();
    if (child == 0) wait_for_ever();
    if (child > 0) ++got;
  }
  say(std::to_string(got) + "\n");
  _exit(0);  // a sanitizer starts a process of its own at an ordinary exit: there is no place left
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, int (*)(const arguments&)> commands{
      {"print", print},
      {"exit-code", exit_code},
      {"wait", wait_ready},
      {"ignore-term", ignore_term},
      {"obey-term", obey_term},
      {"daemon", leave_daemon},
      {"wrap", wrap},
      {"stop-self", stop_self},
      {"stopped-job", hold_stopped_job},
      {"orphans", make_orphans},
      {"fork-loop", fork_loop},
      {"print-for-ever", print_for_ever},
      {"flood", flood},
      {"fds", list_descriptors},
      {"env", print_environment},
      {"state", print_state},
      {"cat", copy_input},
      {"close-stdin", close_input},
      {"use-cpu", use_cpu},
      {"ask", ask},
      {"kill-zero", kill_group},
      {"use-memory", use_memory},
      {"tool-uses-memory", let_tool_use_memory},
      {"fork-many", fork_many}};
  const auto command = argc > 1 ? commands.find(argv[1]) : commands.end();
  if (command == commands.end()) return 97;
  return command->second(arguments(argv + 2, argv + argc));
}

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>

namespace remora::git {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t most_output = 256 << 20;
constexpr std::size_t most_error_text = 4 << 10;

/// Nothing of the repository's or the user's configuration may run a program, ask, or start a
/// collection in the background; and an index that it writes is one that libgit2 reads (G20).
/// Where git-lfs is missing its name could be an alias, a program of the configuration's.
constexpr std::array settings{
    "core.hooksPath=/dev/null", "core.fsmonitor=false",  "gc.auto=0",
    "maintenance.auto=false",   "commit.gpgsign=false",  "credential.helper=",
    "core.sshCommand=false",    "core.splitIndex=false", "index.sparse=false",
    "alias.lfs=git-lfs",        "core.askPass=",
};

std::vector<std::string> environment(const std::map<std::string, std::string>& instead) {
  // The protocols whose programs no configuration names.
  std::vector<std::string> env{"LANG=C.UTF-8", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
                               "GIT_ALLOW_PROTOCOL=file:http:https:ssh"};
  // Where the user's own configuration is: conversions at checkout must be the user's.
  for (const char* name : {"PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_NOSYSTEM"})
    if (const char* value = std::getenv(name)) env.push_back(fmt::format("{}={}", name, value));
  env.push_back(fmt::format("GIT_CONFIG_COUNT={}", instead.size()));
  for (int n = 0; const auto& [key, value] : instead) {
    env.push_back(fmt::format("GIT_CONFIG_KEY_{}={}", n, key));
    env.push_back(fmt::format("GIT_CONFIG_VALUE_{}={}", n++, value));
  }
  return env;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& s : strings) list.push_back(s.data());
  list.push_back(nullptr);
  return list;
}

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

result<pipe_ends> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return os_error(errno, "cannot make a pipe");
  pipe_ends ends{unique_fd(fds[0]), unique_fd(fds[1])};
  if (::fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) return os_error(errno, "cannot set up a pipe");
  return ends;
}

/// What posix_spawn is told; freed at the end.
class spawn_rules {
 public:
  spawn_rules() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
  }
  spawn_rules(const spawn_rules&) = delete;
  spawn_rules& operator=(const spawn_rules&) = delete;
  ~spawn_rules() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  /// A group of its own, to kill as one, and default signals. Not a session: whatever of another
  /// session falls to this process is taken for the orphan of a dead shim and ended
  /// (process/orphans.cpp).
  int fill(const std::filesystem::path& cwd, int in, int out, int err, int held) {
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    constexpr short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    for (const int code :
         {::posix_spawnattr_setflags(&attributes_, flags),
          ::posix_spawnattr_setsigmask(&attributes_, &none),
          ::posix_spawnattr_setsigdefault(&attributes_, &all),
          in < 0 ? ::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0)
                 : ::posix_spawn_file_actions_adddup2(&actions_, in, 0),
          ::posix_spawn_file_actions_adddup2(&actions_, out, 1),
          ::posix_spawn_file_actions_adddup2(&actions_, err, 2),
          ::posix_spawn_file_actions_addchdir_np(&actions_, cwd.c_str())})
      if (code != 0) return code;
    // To itself: it stays open in the child.
    return held < 0 ? 0 : ::posix_spawn_file_actions_adddup2(&actions_, held, held);
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

/// A started git; killed with its group and reaped when it goes out of scope.
class child {
 public:
  explicit child(pid_t pid)
      : pid_(pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { end(); }

  int pidfd() const noexcept { return pidfd_.get(); }

  /// Kills what is left of the group, and reaps all of it: what git had started falls to us, as a
  /// subreaper, and still writes to the worktree until it is gone.
  exit_status end() {
    if (pid_ <= 0) return status_;
    ::kill(-pid_, SIGKILL);  // a child that has exited stays its group's leader until it is reaped
    siginfo_t info{};
    while (::waitid(P_PGID, static_cast<id_t>(pid_), &info, WEXITED) == 0 || errno == EINTR)
      if (info.si_pid == pid_)
        status_ = info.si_code == CLD_EXITED ? exit_status::exited(info.si_status)
                                             : exit_status::killed(info.si_status);
    pid_ = 0;
    return status_;
  }

 private:
  pid_t pid_;
  unique_fd pidfd_;
  exit_status status_;
};

/// Reads what is there. False at the end of the stream.
result<bool> drain(int fd, std::string& into, std::optional<std::size_t> keep_last) {
  std::array<char, 64 << 10> piece;
  for (;;) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) return os_error(errno, "cannot read git's output");
    if (n == 0) return false;
    into.append(piece.data(), static_cast<std::size_t>(n));
    if (keep_last && into.size() > *keep_last) into.erase(0, into.size() - *keep_last);
    if (into.size() > most_output)
      return fail(errc::too_large, fmt::format("git wrote more than {} bytes", most_output));
  }
}

struct streams {
  unique_fd out;
  unique_fd err;
  unique_fd stop;  ///< an eventfd, readable once asked to stop
};

/// Reads both streams until the child has exited.
result<void> follow(const child& git, streams& from, steady_clock::time_point until,
                    command_output& output) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now()).count();
    if (left <= 0) return fail(errc::timed_out, "git took too long and was killed");
    std::array<pollfd, 4> fds{{{git.pidfd(), POLLIN, 0},
                               {from.stop.get(), POLLIN, 0},
                               {from.out.get(), POLLIN, 0},
                               {from.err.get(), POLLIN, 0}}};
    constexpr long longest = 1 << 30;
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::min<long>(left, longest))) < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "cannot wait for git");
    }
    if (fds[1].revents != 0) return fail(errc::stopped, "asked to stop while git was running");
    if (from.out) {
      REMORA_TRY(const bool open, drain(from.out.get(), output.out, std::nullopt));
      if (!open) from.out.reset();
    }
    if (from.err) {
      REMORA_TRY(const bool open, drain(from.err.get(), output.err, most_error_text));
      if (!open) from.err.reset();
    }
    // Exited and then drained once more: what a grandchild may still write is not waited for.
    if (fds[0].revents != 0) return {};
  }
}

std::vector<std::string> command_line(const std::vector<std::string>& args) {
  std::vector<std::string> line{"git"};
  for (const char* setting : settings) {
    line.emplace_back("-c");
    line.emplace_back(setting);
  }
  line.insert(line.end(), args.begin(), args.end());
  return line;
}

result<pid_t> start(const std::filesystem::path& cwd, std::vector<std::string> line,
                    std::vector<std::string> env, int in, int out, int err, int held) {
  spawn_rules rules;
  pid_t pid = 0;
  int code = rules.fill(cwd, in, out, err, held);
  if (code == 0)
    code = ::posix_spawnp(&pid, "git", rules.actions(), rules.attributes(), pointers(line).data(),
                          pointers(env).data());
  std::error_code ignored;
  if (code == ENOENT && std::filesystem::is_directory(cwd, ignored))
    return fail(errc::environment, "git is not in PATH: install git 2.31 or newer");
  if (code != 0)
    return os_error(code, fmt::format("cannot start git in {}", to_utf8(cwd.string())));
  return pid;
}

}  // namespace

bool command_output::killed() const {
  // git's word for a child of its own, in `wait_or_whine` of its run-command.c.
  return status.signal || (!status.success() && err.find(" died of signal ") != err.npos);
}

std::string command_output::why() const {
  const std::string words = printable(trim(err));
  if (words.empty()) return status.text();
  return status.signal ? fmt::format("{}: {}", status.text(), words) : words;
}

result<command_output> run_git(const std::filesystem::path& cwd,
                               const std::vector<std::string>& args, milliseconds deadline,
                               std::stop_token stop, const unique_fd* held, const unique_fd* input,
                               const std::map<std::string, std::string>& instead) {
  const auto until = steady_clock::now() + deadline;
  REMORA_TRY(pipe_ends out, make_pipe());
  REMORA_TRY(pipe_ends err, make_pipe());
  streams from{std::move(out.read), std::move(err.read), unique_fd(::eventfd(0, EFD_CLOEXEC))};
  if (!from.stop) return os_error(errno, "cannot make an eventfd");
  const std::stop_callback wake(stop, [fd = from.stop.get()] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
  });
  REMORA_TRY(const pid_t pid,
             start(cwd, command_line(args), environment(instead), input ? input->get() : -1,
                   out.write.get(), err.write.get(), held ? held->get() : -1));
  child git(pid);
  if (git.pidfd() < 0) return os_error(errno, "cannot watch git");
  out.write.reset();
  err.write.reset();
  command_output output;
  if (auto followed = follow(git, from, until, output); !followed)
    return within(fmt::format("git {}", args.empty() ? "" : to_utf8(args.front())),
                  followed.error());
  output.status = git.end();
  return output;
}

result<unique_fd> make_input(std::string_view bytes) {
  unique_fd fd(::memfd_create("remora-input", MFD_CLOEXEC));
  if (!fd) return os_error(errno, "cannot make a file in memory");
  REMORA_CHECK(write_all(fd.get(), bytes));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return os_error(errno, "cannot rewind a file in memory");
  return fd;
}

}  // namespace remora::git

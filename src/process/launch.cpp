#include "process/launch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/process/v2/environment.hpp>
#include <cerrno>
#include <remora/core/text.hpp>
#include <utility>

#include "process/descriptor_limit.hpp"
#include "process/launcher.hpp"
#include "process/orphans.hpp"
#include "process/proc.hpp"
#include "process/shim_protocol.hpp"

namespace remora::process {

namespace asio = boost::asio;

namespace {

/// The shim's ends of what `attempt_ends` holds ours of.
struct shim_ends {
  unique_fd stdin_read;
  unique_fd out_write;
  unique_fd err_write;
  unique_fd control;
  unique_fd lock;
  unique_fd directory;
};

struct two_ends {
  unique_fd ours;
  unique_fd theirs;
};

/// `to_us`: of a pipe that we read.
result<two_ends> make_pipe(bool to_us) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return os_error(errno, "cannot make a pipe");
  return two_ends{unique_fd(fds[to_us ? 0 : 1]), unique_fd(fds[to_us ? 1 : 0])};
}

result<two_ends> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return os_error(errno, "cannot make a socket pair");
  return two_ends{unique_fd(fds[0]), unique_fd(fds[1])};
}

result<void> make_channels(const asio::any_io_executor& executor, attempt_ends& ours,
                           shim_ends& theirs) {
  REMORA_TRY(two_ends in, make_pipe(false));
  REMORA_TRY(two_ends out, make_pipe(true));
  REMORA_TRY(two_ends err, make_pipe(true));
  REMORA_TRY(two_ends control, make_socket_pair());
  // Ours alone do not block: a pipe's other end has flags of its own.
  ours.stdin_write = watched_fd(executor, std::move(in.ours));
  ours.out_read = watched_fd(executor, std::move(out.ours));
  ours.err_read = watched_fd(executor, std::move(err.ours));
  ours.control = watched_fd(executor, std::move(control.ours));
  theirs.stdin_read = std::move(in.theirs);
  theirs.out_write = std::move(out.theirs);
  theirs.err_write = std::move(err.theirs);
  theirs.control = std::move(control.theirs);
  return {};
}

result<void> make_attempt_files(const std::filesystem::path& dir, attempt_ends& ours,
                                shim_ends& theirs) {
  REMORA_CHECK(make_directories(dir, 0700));
  REMORA_TRY(theirs.directory, open_file(dir, O_RDONLY | O_DIRECTORY));
  REMORA_TRY(theirs.lock, open_at(theirs.directory.get(), "lock", O_RDWR | O_CREAT));
  // Taken here and inherited: it belongs to the open file, so there is no moment at which the shim
  // lives and the lock is free.
  if (::flock(theirs.lock.get(), LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK
               ? fail(errc::held, fmt::format("an agent still lives in {}", to_utf8(dir.string())))
               : os_error(errno, fmt::format("cannot lock {}/lock", to_utf8(dir.string())));
  // The name of an earlier life goes: who finds the lock held waits for this one.
  if (::ftruncate(theirs.lock.get(), 0) != 0)
    return os_error(errno, fmt::format("cannot empty {}/lock", to_utf8(dir.string())));
  constexpr int append = O_WRONLY | O_APPEND | O_CREAT;
  REMORA_TRY(ours.out_file, open_at(theirs.directory.get(), "out", append));
  REMORA_TRY(ours.err_file, open_at(theirs.directory.get(), "err", append));
  return {};
}

/// Not every file system knows sockets: an agent does its work without one.
void make_socket(const spawn_spec& spec, attempt_ends& ours) {
  if (spec.socket.empty()) return;
  auto listening = listen_for_requests(spec.socket);
  if (listening)
    ours.requests = std::move(*listening);
  else
    ours.unheard = listening.error().what;
}

std::filesystem::path leaf_of(const spawn_spec& spec, const host_options& options) {
  if (!options.use_cgroups || spec.name.empty() || own_cgroup().empty()) return {};
  return own_cgroup() / group_name(spec.name);
}

std::vector<std::string> shim_arguments(const spawn_spec& spec, const std::filesystem::path& leaf,
                                        const std::string& limits) {
  std::vector<std::string> arguments{spec.name, spec.cwd.string(),
                                     leaf.empty() ? "-" : leaf.string(),
                                     std::to_string(inherited_descriptor_limit()), limits};
  arguments.insert(arguments.end(), spec.argv.begin(), spec.argv.end());
  return arguments;
}

std::vector<std::string> environment_lines(const spawn_spec& spec, bool may_ask) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : spec.environment)
    if (name != socket_variable) lines.push_back(name + "=" + value);
  if (may_ask) lines.push_back(fmt::format("{}={}", socket_variable, spec.socket.string()));
  return lines;
}

result<launched> launch_shim(const std::filesystem::path& program, const spawn_spec& spec,
                             const std::filesystem::path& leaf, const std::string& limits,
                             const attempt_ends& ours, const shim_ends& theirs) {
  if (::access(program.c_str(), X_OK) != 0)
    return fail(errc::environment,
                fmt::format("cannot execute the shim {}: install remora-shim beside remora or set "
                            "REMORA_SHIM",
                            to_utf8(program.string())));
  const std::vector<std::string> lines = environment_lines(spec, static_cast<bool>(ours.requests));
  boost::process::v2::process_environment environment(lines);
  // In the order of shim_protocol.hpp.
  bind_descriptors descriptors{{theirs.stdin_read.get(), theirs.out_write.get(),
                                theirs.err_write.get(), theirs.control.get(), ours.out_read.get(),
                                ours.err_read.get(), theirs.lock.get(), theirs.directory.get()}};
  session_launcher launch;
  boost::system::error_code failed;
  const shim_birth birth;
  launched shim = launch(failed, program.string(), shim_arguments(spec, leaf, limits), environment,
                         descriptors);
  // E2BIG above all: what is too long for the shim is for the agent.
  if (failed)
    return os_error(failed.value(), fmt::format("cannot start {}", to_utf8(spec.argv.front())));
  birth.register_shim(shim.pid);
  return shim;
}

error nobody_wants_it() {
  return fail(errc::stopped, "nobody waits for the agent any more");
}

}  // namespace

result<launched_attempt> launch_attempt(asio::any_io_executor executor,
                                        const std::filesystem::path& shim, const spawn_spec& spec,
                                        const host_options& options, limit_places::plan limits,
                                        std::shared_ptr<const std::atomic<bool>> unwanted) {
  if (*unwanted) return nobody_wants_it();
  launched_attempt made;
  shim_ends theirs;
  if (auto files = make_attempt_files(spec.attempt_dir, made.ends, theirs); !files)
    return files.error().is(errc::held) ? files.error()
                                        : fail(errc::environment, files.error().what);
  REMORA_CHECK(make_channels(executor, made.ends, theirs));
  make_socket(spec, made.ends);
  made.leaf = leaf_of(spec, options);
  auto child = *unwanted ? result<launched>(nobody_wants_it())
                         : launch_shim(shim, spec, made.leaf, limits.lines, made.ends, theirs);
  if (!child) {
    if (made.ends.requests) ::unlink(spec.socket.c_str());
    return child.error();
  }
  made.groups = std::move(limits.groups);
  if (!made.leaf.empty()) made.groups.push_back(made.leaf);
  made.shim_pid = child->pid;
  made.shim = watched_fd(std::move(executor), std::move(child->pidfd));
  return made;
}

}  // namespace remora::process

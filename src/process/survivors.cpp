#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/process/survivors.hpp>

#include "process/proc.hpp"
#include "process/remains.hpp"
#include "process/shim_protocol.hpp"

namespace remora::process {
namespace {

/// Gone, or of another user.
bool is_not_ours(const error& e) {
  return is_gone(e) || e.is_errno(EACCES) || e.is_errno(EPERM);
}

/// Holds the process's number: as long as it is open and the process was the right one after the
/// opening, the number is nobody else's. Empty: gone. Errors: errno.
result<unique_fd> hold(const identity& who) {
  if (who.pid <= 0 || who.boot.empty() || who.boot != boot_id()) return unique_fd();
  unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0)));
  // By now the number may be a thread's: EINVAL, of newer kernels ENOENT.
  if (!pidfd && (errno == ESRCH || errno == EINVAL || errno == ENOENT)) return unique_fd();
  if (!pidfd) return os_error(errno, fmt::format("cannot look at process {}", who.pid));
  const auto now = read_stat(who.pid);
  if (!now && is_not_ours(now.error())) return unique_fd();
  if (!now) return now.error();
  if (now->start_ticks != who.start_ticks || now->state == 'Z' || now->state == 'X')
    return unique_fd();
  return pidfd;
}

/// `PID START BOOT`, as the shim writes it; at its end it adds a word.
std::optional<identity> parse_identity(std::string_view lock) {
  const auto words = split(trim(lock), ' ');
  if (words.size() != 3 && words.size() != 4) return std::nullopt;
  const auto number = [](std::string_view word, auto& into) {
    const char* end = word.data() + word.size();
    return !word.empty() && std::from_chars(word.data(), end, into).ptr == end;
  };
  identity who;
  if (!number(words[0], who.pid) || !number(words[1], who.start_ticks)) return std::nullopt;
  who.boot = words[2];
  return who;
}

struct seen_process {
  identity who;
  int parent = 0;
  std::vector<std::string> strings;  ///< of the file that was asked for
};

/// With what the kernel holds of it in `/proc/PID/<file>`, each string ended by a zero byte; all is
/// of the same process. Errors: as of `read_stat`.
result<seen_process> look_at(int pid, const char* file) {
  REMORA_TRY(const proc_stat before, read_stat(pid));
  REMORA_TRY(const std::string text, read_file(fmt::format("/proc/{}/{}", pid, file), 64 << 20));
  REMORA_TRY(const proc_stat after, read_stat(pid));
  if (after.start_ticks != before.start_ticks)
    return os_error(ESRCH, fmt::format("cannot look at process {}", pid));
  seen_process seen{{pid, after.start_ticks, boot_id()}, after.parent, {}};
  for (const std::string_view word : split(text, '\0')) seen.strings.emplace_back(word);
  return seen;
}

/// Calls `visit(seen_process)` for every process that is ours to look at. Errors: errno; some were
/// not visited then.
template <class Visit>
result<void> for_each_process(const char* file, Visit visit) {
  std::error_code failed;
  std::filesystem::directory_iterator all("/proc", failed);
  for (; !failed && all != std::filesystem::directory_iterator(); all.increment(failed)) {
    const std::string name = all->path().filename().string();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    const auto seen = look_at(pid, file);
    if (!seen && is_not_ours(seen.error())) continue;
    if (!seen) return seen.error();
    visit(*seen);
  }
  if (failed) return os_error(failed.value(), "cannot list /proc");
  return {};
}

bool is_shim_program(const std::string& path) {
  return std::filesystem::path(path).filename() == "remora-shim";
}

}  // namespace

identity own_identity() {
  const auto stat = read_stat(::getpid());
  return {::getpid(), stat ? stat->start_ticks : 0, boot_id()};
}

life life_of(const identity& who) {
  const auto held = hold(who);
  if (!held) return life::unknown;
  if (!*held) return life::gone;
  const auto now = read_stat(who.pid);
  if (!now) return is_not_ours(now.error()) ? life::gone : life::unknown;
  return now->state == 'T' ? life::stopped : life::running;
}

result<bool> signal_survivor(const identity& who, int signal) {
  REMORA_TRY(const unique_fd held, hold(who));
  if (!held) return false;
  if (::syscall(SYS_pidfd_send_signal, held.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return os_error(errno, fmt::format("cannot signal process {}", who.pid));
}

bool await_end(const identity& who, std::chrono::milliseconds at_most) {
  const auto held = hold(who);
  if (!held) return false;
  if (!*held) return true;
  pollfd end{held->get(), POLLIN, 0};
  const auto until = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    const int ready = ::poll(&end, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

result<std::optional<identity>> shim_in(const std::filesystem::path& attempt_dir) {
  REMORA_TRY(const attempt_remains remains, inspect_attempt(attempt_dir));
  if (!remains.alive) return std::optional<identity>();
  REMORA_TRY(const std::string text, read_file(attempt_dir / "lock", 4096));
  std::optional<identity> who = parse_identity(text);
  if (!who)
    return fail(errc::corrupt,
                fmt::format("{} is held, and does not say by whom: it is being started, or is of "
                            "another version; try again, or end the process that `fuser` names",
                            to_utf8((attempt_dir / "lock").string())));
  return who;
}

result<bool> give_up_attempt(const std::filesystem::path& attempt_dir) {
  REMORA_TRY(const auto who, shim_in(attempt_dir));
  if (!who) return false;
  REMORA_TRY(const bool told, signal_survivor(*who, shim::give_up_signal));
  if (told) REMORA_CHECK(signal_survivor(*who, SIGCONT));  // it may be stopped itself
  return told;
}

result<bool> end_strays(const std::filesystem::path& attempt_dir,
                        const std::vector<std::string>& settings) {
  REMORA_TRY(const bool ended_itself, saw_its_end(attempt_dir));
  if (ended_itself) return false;
  bool any = false;
  result<void> ended;
  const auto end = [&](const seen_process& seen) {
    const bool is_one = std::ranges::all_of(settings, [&](const std::string& wanted) {
      return std::ranges::find(seen.strings, wanted) != seen.strings.end();
    });
    if (!is_one) return;
    const auto told = signal_survivor(seen.who, SIGKILL);
    if (!told) ended = told.error();
    any = any || (told && *told);
  };
  REMORA_CHECK(for_each_process("environ", end));
  REMORA_CHECK(ended);
  return any;
}

result<std::vector<running_shim>> find_shims(std::string_view prefix) {
  std::vector<running_shim> found;
  const auto add = [&](const seen_process& seen) {
    const std::vector<std::string>& words = seen.strings;
    if (words.size() > 1 && is_shim_program(words[0]) && words[1].starts_with(prefix))
      found.push_back({seen.who, words[1], seen.parent});
  };
  REMORA_CHECK(for_each_process("cmdline", add));
  return found;
}

}  // namespace remora::process

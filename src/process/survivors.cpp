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
#include "process/shim_protocol.hpp"

namespace remora::process {
namespace {

/// Holds the process's number: as long as it is open and the process was the right one after the
/// opening, the number is nobody else's. Empty: gone.
unique_fd hold(const identity& who) {
  if (who.pid <= 0 || who.boot.empty() || who.boot != boot_id()) return {};
  unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0)));
  if (!pidfd) return {};
  const auto now = read_stat(who.pid);
  const bool same = now && now->start_ticks == who.start_ticks;
  if (!same || now->state == 'Z' || now->state == 'X') return {};
  return pidfd;
}

/// Its tree was seen to be empty.
bool has_ended(std::string_view lock) {
  const auto words = split(trim(lock), ' ');
  return words.size() == 4 && words[3] == shim::ended_mark;
}

/// `PID START BOOT`, as the shim writes it.
std::optional<identity> parse_identity(std::string_view lock) {
  const auto words = split(trim(lock), ' ');
  if (words.size() != 3 && !has_ended(lock)) return std::nullopt;
  const auto number = [](std::string_view word, auto& into) {
    const char* end = word.data() + word.size();
    return !word.empty() && std::from_chars(word.data(), end, into).ptr == end;
  };
  identity who;
  if (!number(words[0], who.pid) || !number(words[1], who.start_ticks)) return std::nullopt;
  who.boot = words[2];
  return who;
}

/// What the kernel holds of a process in `/proc/PID/<file>`, each string ended by a zero byte; none
/// where it is gone or not ours to read.
std::vector<std::string> strings_of(int pid, const char* file) {
  std::vector<std::string> words;
  const auto text = read_file(fmt::format("/proc/{}/{}", pid, file), 64 << 20);
  if (!text) return words;
  for (const std::string_view word : split(*text, '\0')) words.emplace_back(word);
  return words;
}

/// Calls `visit(identity, parent, strings of `file`)` for every process; all three are of the same
/// one.
template <class Visit>
void for_each_process(const char* file, Visit visit) {
  std::error_code failed;
  std::filesystem::directory_iterator all("/proc", failed);
  for (; !failed && all != std::filesystem::directory_iterator(); all.increment(failed)) {
    const std::string name = all->path().filename().string();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    const auto before = read_stat(pid);
    const std::vector<std::string> strings = strings_of(pid, file);
    const auto after = read_stat(pid);
    if (before && after && after->start_ticks == before->start_ticks)
      visit(identity{pid, after->start_ticks, boot_id()}, after->parent, strings);
  }
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
  const unique_fd held = hold(who);
  if (!held) return life::gone;
  const auto now = read_stat(who.pid);
  if (!now) return life::gone;
  return now->state == 'T' ? life::stopped : life::running;
}

result<bool> signal_survivor(const identity& who, int signal) {
  const unique_fd held = hold(who);
  if (!held) return false;
  if (::syscall(SYS_pidfd_send_signal, held.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return os_error(errno, fmt::format("cannot signal process {}", who.pid));
}

bool await_end(const identity& who, std::chrono::milliseconds at_most) {
  const unique_fd held = hold(who);
  if (!held) return true;
  pollfd end{held.get(), POLLIN, 0};
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
  const auto lock = read_file(attempt_dir / "lock", 4096);
  if (!lock && !lock.error().is_errno(ENOENT)) return lock.error();
  if (!lock || lock->empty() || has_ended(*lock)) return false;
  bool any = false;
  result<void> ended;
  for_each_process("environ", [&](const identity& who, int, const std::vector<std::string>& has) {
    const bool is_one = std::ranges::all_of(settings, [&](const std::string& wanted) {
      return std::ranges::find(has, wanted) != has.end();
    });
    if (!is_one) return;
    const auto told = signal_survivor(who, SIGKILL);
    if (!told) ended = told.error();
    any = any || (told && *told);
  });
  REMORA_CHECK(ended);
  return any;
}

std::vector<running_shim> find_shims(std::string_view prefix) {
  std::vector<running_shim> found;
  for_each_process(
      "cmdline", [&](const identity& who, int parent, const std::vector<std::string>& words) {
        if (words.size() > 1 && is_shim_program(words[0]) && words[1].starts_with(prefix))
          found.push_back({who, words[1], parent});
      });
  return found;
}

}  // namespace remora::process

// What an attempt directory says after a crash of the orchestrator.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <charconv>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/process/host.hpp>

#include "process/remains.hpp"
#include "process/shim_protocol.hpp"

namespace remora::process {

namespace {

/// Only a look: the lock is let go of at once.
result<bool> is_locked(const std::filesystem::path& lock) {
  const auto fd = open_file(lock, O_RDONLY);
  if (!fd && fd.error().is_errno(ENOENT)) return false;
  if (!fd) return fd.error();
  if (::flock(fd->get(), LOCK_SH | LOCK_NB) == 0) return false;
  if (errno == EWOULDBLOCK) return true;
  return os_error(errno, fmt::format("cannot look at the lock {}", to_utf8(lock.string())));
}

/// `exited 3` or `signal 9`.
std::optional<exit_status> parse_exit(std::string_view text) {
  const auto words = split(trim(text), ' ');
  if (words.size() != 2) return std::nullopt;
  int n = 0;
  const char* end = words[1].data() + words[1].size();
  if (std::from_chars(words[1].data(), end, n).ptr != end || words[1].empty()) return std::nullopt;
  if (words[0] == "exited") return exit_status::exited(n);
  if (words[0] == "signal") return exit_status::killed(n);
  return std::nullopt;
}

}  // namespace

result<bool> saw_its_end(const std::filesystem::path& attempt_dir) {
  const auto lock = read_file(attempt_dir / "lock", 4096);
  if (!lock && lock.error().is_errno(ENOENT)) return true;
  if (!lock) return lock.error();
  return lock->empty() || trim(*lock).ends_with(shim::ended_mark);
}

result<attempt_remains> inspect_attempt(const std::filesystem::path& attempt_dir) {
  attempt_remains remains;
  // First the lock: a shim that ends in between has written `exit` before it lets go.
  REMORA_TRY(remains.alive, is_locked(attempt_dir / "lock"));
  if (!remains.alive) {
    REMORA_TRY(remains.empty, saw_its_end(attempt_dir));
  }
  const auto text = read_file(attempt_dir / "exit", 4096);
  if (!text && text.error().is_errno(ENOENT)) return remains;
  if (!text && (remains.alive || is_lack(text.error()))) return text.error();
  if (text) remains.exit = parse_exit(*text);
  if (!remains.exit && !remains.alive)
    return fail(errc::corrupt, fmt::format("{} holds no exit status; remove it to go on without",
                                           to_utf8((attempt_dir / "exit").string())));
  return remains;
}

}  // namespace remora::process

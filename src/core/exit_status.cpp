#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <charconv>
#include <remora/core/exit_status.hpp>

namespace remora {

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

result<int> parse_signal(std::string_view text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (int s = 1; s < NSIG; ++s)
    if (const char* known = sigabbrev_np(s); known && name == known) return s;
  int value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec == std::errc() && end == text.data() + text.size() && value > 0 && value < NSIG)
    return value;
  return fail(errc::usage, fmt::format("'{}' is not a signal (SIGKILL, KILL or 9)", text));
}

std::string exit_status::text() const {
  if (signal) return "killed by " + signal_name(*signal);
  if (code) return fmt::format("exited with {}", *code);
  return "did not exit";
}

}  // namespace remora

// How a process ended.
#pragma once

#include <optional>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>

namespace remora {

struct exit_status {
  std::optional<int> code;    ///< set when it exited
  std::optional<int> signal;  ///< set when a signal ended it

  static exit_status exited(int code) { return {code, std::nullopt}; }
  static exit_status killed(int signal) { return {std::nullopt, signal}; }
  bool success() const noexcept { return code == 0; }
  /// `exited with 3`, `killed by SIGKILL`.
  std::string text() const;
  auto operator<=>(const exit_status&) const = default;
};

/// `SIGTERM` for 15; `signal 40` for one without a name.
std::string signal_name(int signal);
/// `SIGKILL`, `KILL` or `9`. Errors: errc::usage.
result<int> parse_signal(std::string_view text);

}  // namespace remora

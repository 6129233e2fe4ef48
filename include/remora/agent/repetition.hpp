// Notices an agent that meets the same error again and again, and would for ever. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <remora/agent/event.hpp>
#include <remora/agent/verdict.hpp>
#include <string>

namespace remora::agent {

/// Of one attempt. Errors are the same if their kind and text are, but for the numbers in it. What
/// ends a row is another error, or a tool's result: an agent that only talks may well be compacting
/// what no compaction makes fit.
class repetition {
 public:
  /// More than any CLI tries again by itself before it gives up (Claude Code: ten times).
  static constexpr std::uint32_t longest_row = 20;

  /// What the attempt has come to, once, when a row is that long: the verdict of the error's kind;
  /// `failed` with the detail `loop` where that says nothing. Cost: of the error's text.
  std::optional<outcome> on(const event& e);

 private:
  std::string same_;  ///< the error of this row
  std::uint32_t row_ = 0;
};

}  // namespace remora::agent

// Why an attempt ended. The table of what follows is in supervise/verdicts.hpp.
#pragma once

#include <optional>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>

namespace remora::agent {

enum class verdict {
  completed,
  timed_out,  ///< detail: wall idle first_output external soft
  verify_failed,
  failed,   ///< detail: the exit code
  crashed,  ///< detail: the signal's name, oom, shim, no_result
  context_full,
  overloaded,
  network,
  rate_limited,  ///< detail: until when, RFC 3339, where the agent said so
  auth_failed,
  refused,
  budget,  ///< detail: turns tokens cost
  setup_failed,
  spawn_failed,
  no_progress,
  interrupted,
  orphaned,  ///< the orchestrator died
  cancelled,
};

std::string_view name(verdict v);
result<verdict> parse_verdict(std::string_view text);

struct outcome {
  agent::verdict verdict = verdict::failed;
  std::string detail;  ///< one word or value, see above; may be empty
  std::string text;    ///< the agent's own words about it, printable, at most 4 KiB
};

}  // namespace remora::agent

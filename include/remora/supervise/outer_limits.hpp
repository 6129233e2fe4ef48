// Limits around an agent that somebody else keeps (`timeout 120 claude …`, `ulimit -t`, a
// scheduler): told from a crash, and learnt, so that the next attempt is saved and ended before.
// Pure.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <string>

namespace remora::supervise {

using std::chrono::milliseconds;

/// What an attempt came to at this age that nobody here had signalled: `timed_out`, detail
/// `external`, where a signal that asks ended it, or an exit status that tells of one (124 of
/// timeout(1), 128 + the signal). KILL tells nothing: it may have been the OOM killer. Nor does an
/// end within ten seconds: that is a crash.
agent::outcome judge_exit(agent::outcome o, milliseconds age);

/// Of the agents of one run, by their names in the plan.
class outer_limits {
 public:
  /// An attempt has ended. Where it was ended from outside, by KILL or otherwise, and the one
  /// before of this agent was at about the same age (5 %, or a second): the wall that keeps its
  /// successors below it, nine tenths of the shorter age. Nothing where that is not new.
  std::optional<milliseconds> ended(const std::string& agent, const agent::outcome& o,
                                    milliseconds age);
  /// What was learnt in an earlier life of the run.
  void learnt(const std::string& agent, milliseconds wall);
  std::optional<milliseconds> wall(const std::string& agent) const;

 private:
  struct known {
    std::optional<milliseconds> last, wall;
  };
  std::map<std::string, known> agents_;
};

}  // namespace remora::supervise

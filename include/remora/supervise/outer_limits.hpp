// Limits around an agent that somebody else keeps (`timeout 120 claude …`, `ulimit -t`, a
// scheduler): told from a crash, and learnt, so that the next attempt is saved and ended before.
// Pure.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <string>

namespace remora::supervise {

using std::chrono::milliseconds;

/// What an attempt came to at this age that nobody here had signalled: `timed_out`, detail
/// `external`, where a signal that asks ended it, or an exit status that tells of one (124 of
/// timeout(1), 128 + the signal). KILL tells nothing: it may have been the OOM killer. Nor does an
/// end within ten seconds: that is a crash.
agent::outcome judge_exit(agent::outcome o, milliseconds age);

/// Of the agents of one run, by their names in the plan. Forgotten with the run's orchestrator:
/// whoever resumes it may have removed the limit.
class outer_limits {
 public:
  /// An attempt that began and ended (not: was saved) at these times. Where it was ended from
  /// outside, by KILL or otherwise, and so was the one before of this agent, at about the same age
  /// (5 %, or a second) and before this one began: the wall that keeps its successors below it,
  /// nine tenths of the shorter age. Nothing where that is not new. Attempts that are ended side by
  /// side tell of no limit; one that lived longer tells that there is none.
  std::optional<milliseconds> ended(const std::string& agent, const agent::outcome& o,
                                    time_point began, time_point at);
  std::optional<milliseconds> wall(const std::string& agent) const;

 private:
  struct end {
    time_point at;
    milliseconds age;
  };
  struct known {
    std::optional<end> last;
    std::optional<milliseconds> wall;
  };
  std::map<std::string, known> agents_;
};

}  // namespace remora::supervise

// What a task's machine asks for. Plain values, performed in order.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <remora/supervise/decision.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace remora::supervise {

using std::chrono::milliseconds;

struct prepare {};  ///< lend a slot, check it out or keep it, run setup
/// May an attempt start? Answered by `allowed` or `denied`, once that is known.
struct ask {
  std::uint32_t agent = 0;  ///< the first of the task's list that may go on
};
struct spawn {
  std::uint32_t attempt = 1;
};
struct freeze {};
struct thaw {};
struct send_signal {
  bool first = true;
};  ///< the adapter's first signal
struct kill {};
/// Take and publish a checkpoint. Performed one at a time, in order; answered by saved or
/// save_failed with the token. `final`: nothing runs any more (stale locks are removed first;
/// skipped when nothing changed).
struct save {
  std::uint64_t token = 0;
  std::string reason;
  bool final = false;
  bool unfrozen = false;  ///< was to be taken of a frozen tree, and some of it runs: to be marked
  std::optional<agent::outcome> ended;  ///< how its attempt ends, as far as that is decided
};
struct quarantine {};  ///< the slot is left to whoever may live in it
struct end_attempt {
  agent::outcome outcome;
  bool counted = true;
  std::uint32_t agent = 0;  ///< of the task's list, the first that may go on after it
};  ///< journal it; before any backoff
/// Look for the signs of life that cost something: an open tool call, processor time, traffic.
/// Answered by `alive` or `silent`, at once.
struct look {};
/// Ask the agent for a note to its successor, where it can be spoken to: answered by `handed_over`,
/// or not at all.
struct ask_for_note {
  milliseconds left{0};  ///< until `wall`
};
struct back_off {
  milliseconds base{0};
};  ///< informative; `wake_at` holds the time with jitter
struct verify {};
struct publish {};
enum class task_outcome { succeeded, failed, interrupted, cancelled, skipped };
struct finish {
  task_outcome outcome;
  agent::outcome last;
};  ///< the end: whatever is still under way (a setup, a verification) is stopped

using action = std::variant<prepare, ask, spawn, freeze, thaw, send_signal, kill, save, quarantine,
                            end_attempt, look, ask_for_note, back_off, verify, publish, finish>;

struct step {
  std::vector<action> actions;
  std::optional<time_point> wake_at;  ///< replaces the previous one; nothing: no deadline
  std::optional<decision> decided;    ///< the phase has changed, or a stop was heard
};

std::string_view name(task_outcome o);

}  // namespace remora::supervise

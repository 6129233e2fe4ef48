// What a task's machine is told. Plain values; a fact that does not fit the phase is ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <string>
#include <variant>

namespace remora::supervise {

using std::chrono::milliseconds;

struct begin {
  std::uint32_t counted = 0;
  std::uint32_t made = 0;   ///< attempts made before, counted or not: the next has one number more
  bool changed = false;     ///< the checkpoint it goes on from differs from the base
  std::uint32_t agent = 0;  ///< `end_attempt::agent` of the last attempt
};  ///< the scheduler lets it start; lives already counted (resume)
/// An attempt may start: the account of one of its agents is open.
struct allowed {
  std::uint32_t agent = 0;  ///< of its list
  std::string words;        ///< which, where that says something
};
/// None of them is, nor will be for long.
struct denied {
  agent::outcome why;
};
struct prepared {};  ///< the slot is ready, setup has run
struct prepare_failed {
  agent::verdict verdict;
  std::string detail;
  bool killed = false;  ///< by a signal, and not for a reason of its own; nobody of it is left
  /// What the repository should hold, or it could not be read: the task goes on once it can.
  bool damaged = false;
};  ///< setup_failed, spawn_failed
struct started {
  std::optional<milliseconds> wall{};  ///< learnt: somebody else ends its agent soon after
};  ///< exec proven
struct spawn_failed {
  std::string detail;
  bool killed = false;  ///< a signal ended the shim; nobody of its tree is left
  bool lacks = false;   ///< for want of processes, descriptors or memory, which may pass
};
struct output {};            ///< bytes on stdout or stderr
struct worktree_changed {};  ///< by a save that found changed files
struct turn_ended {};
struct mutated {};               ///< a tool that mutates has its result
struct checkpoint_requested {};  ///< by the agent
struct frozen {
  bool whole = true;  ///< false: some of its tree still runs
};
struct exited {
  agent::outcome concluded;
};  ///< the adapter's conclusion from output and exit status
struct emptied {
  bool proven = true;
};  ///< nobody of its tree is left
struct saved {
  std::uint64_t token = 0;
  bool changed = true;     ///< the tree or HEAD, against the checkpoint before
  bool progressed = true;  ///< `agent::state::progress` has grown since the checkpoint before
  milliseconds took{0};
};
struct save_failed {
  std::uint64_t token = 0;
  std::string why;
  bool slot_lost = false;  ///< the worktree is not there any more: a successor needs another one
};
struct verified {
  bool ok = true;
};
struct published {};  ///< the result is durable and the checkpoint gone
struct publish_failed {
  std::string why;
};
struct deadline {};  ///< `step::wake_at` has passed; one too early does nothing
enum class stop_kind { interrupt, cancel };
struct stop {
  stop_kind kind = stop_kind::interrupt;
  bool insist = false;
};  ///< insist: the second Ctrl-C
/// Another sign of life, for `idle` and `first_output`: an open tool call that is not yet too old,
/// processor time used by the tree, bytes on its connections.
struct alive {};
struct silent {};  ///< a look found none of them
/// The task, or its run, has used up what it may use, over all attempts: no other one begins.
struct over_budget {
  std::string detail;  ///< turns tokens cost
  std::string text;    ///< how much that was, and what to do
};
/// The machine was suspended since the fact before; the monotonic clock did not count it.
struct woke {};
/// The agent's CLI tries again by itself: until then its silence tells nothing.
struct retrying {
  milliseconds wait{0};
};
/// It meets one error again and again; what the attempt has come to.
struct looping {
  agent::outcome met;
};
/// It has left a note for its successor, as it was asked to, and works on nothing else.
struct handed_over {};

using fact =
    std::variant<begin, prepared, prepare_failed, started, spawn_failed, output, worktree_changed,
                 turn_ended, mutated, frozen, exited, emptied, saved, save_failed, verified,
                 published, publish_failed, deadline, stop, alive, silent, over_budget, allowed,
                 denied, woke, retrying, looping, handed_over, checkpoint_requested>;

}  // namespace remora::supervise

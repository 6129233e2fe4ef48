// The pure machine of one task: its deadlines, when to checkpoint, how an attempt is ended, and
// what follows a verdict (docs/supervision.md, design.md §7). It is told facts and returns actions
// and the next deadline. No clock, no Asio, no git, no file. Time is an argument; a deadline is an
// event.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/exit_status.hpp>
#include <string>
#include <variant>
#include <vector>

namespace remora::supervise {

using std::chrono::milliseconds;

struct checkpoint_rules {
  std::uint32_t turns = 1;  ///< every N turns; 0: never
  bool mutations = true;
  milliseconds interval{30'000};  ///< zero: never
  milliseconds min_gap{
      5'000};  ///< from start to start; within it a checkpoint is postponed, never dropped
};

struct limits {
  milliseconds wall{30 * 60'000};
  milliseconds idle{0};          ///< zero: off
  milliseconds first_output{0};  ///< zero: off
  milliseconds soft{0};          ///< zero: off; a checkpoint this long before `wall`
  milliseconds grace{10'000};
  milliseconds snapshot{10'000};
  milliseconds freeze{500};
  milliseconds empty{5'000};
  std::uint32_t attempts = 20;  ///< counted lives
  checkpoint_rules checkpoints;
  bool verifies = false;
};

// --- facts ---
struct begin {
  std::uint32_t counted = 0;
};                   ///< the scheduler lets it start; lives already counted (resume)
struct prepared {};  ///< the slot is ready, setup has run
struct prepare_failed {
  agent::verdict verdict;
  std::string detail;
};                  ///< setup_failed, spawn_failed
struct started {};  ///< exec proven
struct spawn_failed {
  std::string detail;
};
struct output {};            ///< bytes on stdout or stderr
struct worktree_changed {};  ///< by a save that found changed files
struct turn_ended {};
struct mutated {};  ///< a tool that mutates has its result
struct frozen {};
struct exited {
  agent::outcome concluded;
};  ///< the adapter's conclusion from output and exit status
struct emptied {
  bool proven = true;
};  ///< nobody of its tree is left
struct saved {
  std::uint64_t token = 0;
  bool changed = true;
  bool progressed = true;
  milliseconds took{0};
};
struct save_failed {
  std::uint64_t token = 0;
  std::string why;
};
struct verified {
  bool ok = true;
};
struct published {};  ///< the result is durable and the checkpoint gone
struct publish_failed {
  std::string why;
};
struct deadline {};  ///< `step::wake_at` has passed
enum class stop_kind { interrupt, cancel };
struct stop {
  stop_kind kind = stop_kind::interrupt;
  bool insist = false;
};  ///< insist: the second Ctrl-C

using fact = std::variant<begin, prepared, prepare_failed, started, spawn_failed, output,
                          worktree_changed, turn_ended, mutated, frozen, exited, emptied, saved,
                          save_failed, verified, published, publish_failed, deadline, stop>;

// --- actions, performed in order ---
struct prepare {};  ///< lend a slot, check it out or keep it, run setup
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
};
struct quarantine {};  ///< the slot is never used again by this run
struct end_attempt {
  agent::outcome outcome;
  bool counted = true;
};  ///< journal it; before any backoff
struct back_off {
  milliseconds base{0};
};  ///< informative; `wake_at` holds the time with jitter
struct verify {};
struct publish {};
enum class task_outcome { succeeded, failed, interrupted, cancelled, skipped };
struct finish {
  task_outcome outcome;
  agent::outcome last;
};

using action = std::variant<prepare, spawn, freeze, thaw, send_signal, kill, save, quarantine,
                            end_attempt, back_off, verify, publish, finish>;

struct step {
  std::vector<action> actions;
  std::optional<time_point> wake_at;  ///< replaces the previous one; nothing: no deadline
};

enum class phase {
  idle,
  preparing,
  starting,
  running,
  freezing,
  grace,
  emptying,
  saving,
  verifying,
  publishing,
  waiting,
  finished
};
std::string_view name(phase p);
std::string_view name(task_outcome o);

class task_machine {
 public:
  /// `seed`: of the jitter, so that a test can replay it.
  explicit task_machine(limits l, std::uint64_t seed = 0);
  /// After `finish` it ignores everything.
  step on(const fact& f, time_point now);
  supervise::phase phase() const noexcept;
  std::uint32_t attempt() const noexcept;
  std::uint32_t counted() const noexcept;

 private:
  // as the implementation needs
};

}  // namespace remora::supervise

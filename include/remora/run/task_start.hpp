// What a task goes on from, and how much of it the fold of the journal alone decides.
#pragma once

#include <optional>
#include <remora/agent/state.hpp>
#include <remora/git/oid.hpp>
#include <remora/run/fold.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// What a task goes on from. A fresh one: only `base`.
struct task_start {
  git::oid base;
  std::optional<git::oid> record;       ///< the newest checkpoint's record
  checkpoint_no number;                 ///< its number; 0: none
  std::uint64_t chain_bytes = 0;        ///< what the checkpoints of its chain added on the disk
  bool same_run = false;                ///< `record` is of this run
  std::string slot;                     ///< to go on in, in place; empty: a new one
  bool quarantined = false;             ///< only if nobody of its agents is left
  std::uint32_t counted = 0, made = 0;  ///< attempts so far
  std::uint32_t agent = 0;              ///< of its list, the first that may go on
  std::uint64_t tokens = 0;             ///< told by its agents, as the journal has it
  double cost_usd = 0;                  ///< likewise
  bool changed = false;                 ///< the checkpoint differs from the base
  std::optional<agent::state> mind;
  std::optional<attempt_no> orphaned;  ///< it was running when our predecessor died
  bool result_is_due = false;          ///< the agent has completed: no further life, its result
  git::oid published;                  ///< that is durable already; only the pruning is left
  bool published_whole = true;
  std::string abandoned, discard;   ///< slots, see `slot_request`
  std::optional<git::oid> old_run;  ///< of a rerun: the other run's checkpoint
};

struct recovered_task {
  task_start start;
  std::vector<std::string> remarks;
};

/// Whether a life can go on in the slot of the last one: an agent was in it, it is there, and it
/// was not left to that agent. After a restart of the machine none can: agents do not sync what
/// they write, and a power cut leaves such files empty. `boot`: this machine's now. Pure.
bool can_go_on_in_slot(const task_fold& fold, bool slot_there, std::string_view boot);

/// Completes what the refs told of a task (`recovered_task` of the store) with what its fold says:
/// slot, lives, the orphan. `slot_there`: the slot's directory exists. `boot`: as above. Pure.
void take_fold(const task_fold& fold, bool slot_there, std::string_view boot, recovered_task& r);

}  // namespace remora::run

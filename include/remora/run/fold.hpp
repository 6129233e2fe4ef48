// The fold of a journal: what recovery, the live table and `show` know of a run. Pure.
#pragma once

#include <map>
#include <optional>
#include <remora/agent/event.hpp>
#include <remora/checkpoint/record.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/plan.hpp>
#include <span>
#include <string>
#include <vector>

namespace remora::run {

/// A checkpoint as the journal names it.
struct checkpoint_mark {
  checkpoint_no number;
  git::oid record;
  git::oid files;
  git::oid old;  ///< what the ref held before
  std::string reason;
  std::uint64_t packed = 0;  ///< what it added on the disk
  bool thins = false;        ///< it began a new chain: those before it are given up

  /// What a chain takes on the disk after it, if it took `before`.
  std::uint64_t chain_bytes(std::uint64_t before) const { return (thins ? 0 : before) + packed; }
};

struct attempt_fold {
  attempt_no number;
  std::string agent;
  std::string started;
  std::string ended;  ///< empty: not ended
  std::string verdict, detail, text;
  bool counted = false;
};

struct task_fold {
  std::string id;
  std::string phase = "queued";  ///< of `task_phase`; `ended` at last
  std::string since;             ///< when the phase began
  git::oid base;
  std::string slot;       ///< directory; empty: none
  std::string slot_boot;  ///< of the machine when it was lent
  bool quarantined = false;
  bool slot_used = false;  ///< an agent was, perhaps, started in it; before, it may be half made
  std::vector<attempt_fold> attempts;
  std::uint32_t agents_passed = 0;          ///< of its list, those that do not come back
  std::optional<checkpoint_mark> prepared;  ///< not known to be saved
  std::optional<checkpoint_mark> saved;     ///< the newest
  std::vector<git::oid> records;            ///< of all that were saved, the oldest first
  std::uint64_t chain_bytes = 0;            ///< what those of the newest chain added on the disk
  git::oid published;                       ///< the result; zero: none
  bool published_whole = true;              ///< everything of the checkpoint is in the result
  boost::json::object ended;                ///< payload of `task_ended`; empty while it goes on
  std::string last_event;                   ///< one line for the live table
  std::uint64_t checkpoints = 0;
  agent::usage used;  ///< told by its agents in this run

  bool has_ended() const { return !ended.empty(); }
  /// Succeeded, failed, cancelled and skipped tasks are done; an interrupted one goes on at
  /// `resume`.
  bool is_done() const;
  std::string outcome() const;
  std::uint32_t counted() const;
  /// Its agent completed, and its final checkpoint is saved and verified: only the result is left.
  bool result_is_due() const;
  bool attempt_is_open() const { return !attempts.empty() && attempts.back().ended.empty(); }
};

struct run_fold {
  std::string run;
  boost::json::object started;  ///< payload of `run_started`
  std::string started_at;
  boost::json::object ended;  ///< payload of `run_ended`
  std::map<std::string, task_fold> tasks;
  std::vector<std::string> order;     ///< of the plan
  std::vector<std::string> settings;  ///< of every `resume --set`
  std::vector<std::string> warnings;
  sequence last = 0;

  /// Tasks that have neither begun nor ended: each is to get a worktree.
  std::size_t waiting() const;
  void apply(const record& r);
};

run_fold fold_records(std::span<const record> records);

}  // namespace remora::run

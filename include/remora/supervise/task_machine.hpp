// The pure machine of one task: its deadlines, when to checkpoint, how an attempt is ended, and
// what follows a verdict (docs/supervision.md). It is told facts and returns actions
// and the next deadline. No clock, no Asio, no git, no file. Time is an argument; a deadline is an
// event.
#pragma once

#include <cstdint>
#include <optional>
#include <remora/supervise/actions.hpp>
#include <remora/supervise/cadence.hpp>
#include <remora/supervise/chain.hpp>
#include <remora/supervise/facts.hpp>
#include <remora/supervise/limits.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::supervise {

/// Of the attempt that runs: when what ends it comes, as far as that is known.
struct deadlines_left {
  time_point wall{};
  std::optional<time_point> idle;  ///< if nothing is heard until then
  std::optional<time_point> soft;  ///< not yet passed
};

class task_machine {
 public:
  /// `seed`: of the jitter, so that a test can replay it.
  explicit task_machine(limits l, std::uint64_t seed = 0);
  /// After `finish` it ignores everything. Thread: one at a time. Cost: no I/O, constant.
  step on(const fact& f, time_point now);
  supervise::phase phase() const noexcept { return phase_; }
  /// The number of the newest attempt; 0: none yet.
  std::uint32_t attempt() const noexcept { return attempt_; }
  /// Nothing where no agent runs, or it is being ended.
  std::optional<deadlines_left> deadlines() const;
  std::uint32_t counted() const noexcept { return chain_.counted(); }

 private:
  void take(const begin& f, time_point now);
  void take(const prepared& f, time_point now);
  void take(const allowed& f, time_point now);
  void take(const denied& f, time_point now);
  void take(const prepare_failed& f, time_point now);
  void take(const started& f, time_point now);
  void take(const spawn_failed& f, time_point now);
  void take(const output& f, time_point now);
  void take(const worktree_changed& f, time_point now);
  void take(const alive& f, time_point now);
  void take(const silent& f, time_point now);
  void take(const turn_ended& f, time_point now);
  void take(const mutated& f, time_point now);
  void take(const checkpoint_requested& f, time_point now);
  void take(const frozen& f, time_point now);
  void take(const exited& f, time_point now);
  void take(const emptied& f, time_point now);
  void take(const saved& f, time_point now);
  void take(const save_failed& f, time_point now);
  void take(const verified& f, time_point now);
  void take(const published& f, time_point now);
  void take(const publish_failed& f, time_point now);
  void take(const deadline& f, time_point now);
  void take(const stop& f, time_point now);
  void take(const over_budget& f, time_point now);
  void take(const woke& f, time_point now);
  void take(const retrying& f, time_point now);
  void take(const looping& f, time_point now);
  void take(const handed_over& f, time_point now);

  // While it runs (running.cpp).
  void run(std::optional<milliseconds> learnt, time_point now);
  void sign_of_life(time_point now);
  void lives(time_point now);
  void forgive_delay(time_point now);
  void forgive(duration lost, time_point now);
  void running_deadline(time_point now);
  void time_out(std::string_view which, std::string words, time_point now);
  void end_for_budget(time_point now);
  milliseconds longest_silence() const;
  time_point next_look() const;
  void checkpoint_if_due(time_point now);
  std::optional<time_point> running_wake() const;

  /// What the step being made rests on, in words.
  void because(std::string_view words);

  // The steps of ending an attempt (ending.cpp).
  void decide(agent::outcome why, std::string reason);
  agent::outcome stopped() const;
  std::string stopped_reason() const;
  void freeze_tree(time_point now);
  void save_frozen(bool whole, time_point now);
  void ask_to_end(time_point now);
  void kill_tree(time_point now);
  void save_final(time_point now);
  void emit_save(bool final, bool unfrozen, milliseconds limit, time_point now);
  void save_answered(std::uint64_t token, bool ok, std::string why, time_point now);

  // What follows (following.cpp).
  void settle(time_point now);
  void settle_completed();
  void conclude(agent::outcome o, time_point now);
  void go_on(milliseconds base, milliseconds wait, time_point now);
  void next_attempt();
  void start_attempt();
  void start_publishing();
  void close_attempt(agent::outcome o, bool counted);
  void halt();
  void end_over_budget();
  void end(task_outcome outcome);
  std::optional<time_point> wake_at() const;

  limits limits_;
  cadence cadence_;
  chain chain_;
  supervise::phase phase_ = supervise::phase::idle;
  std::vector<action> actions_;  ///< of the step being made
  std::string because_;          ///< of the step being made
  bool woke_ = false;            ///< in the step being made, its deadlines were put off

  // The task.
  std::uint32_t attempt_ = 0;
  std::uint64_t next_token_ = 1;
  bool changed_ = false;    ///< a checkpoint of this task found something
  bool needs_slot_ = true;  ///< there is none yet, or the last one must not be used again
  std::optional<stop_kind> stop_;
  bool insist_ = false;
  std::optional<agent::outcome> over_budget_;
  agent::outcome last_;  ///< of the last attempt, or why there was none

  // The attempt.
  bool open_ = false;  ///< spawned, and its end is not yet told
  std::optional<agent::outcome> verdict_;
  std::string reason_;  ///< of the checkpoints of its end
  progress progress_ = progress::unknown;
  std::uint64_t first_token_ = 1;         ///< lower ones belong to attempts before
  std::optional<std::uint64_t> awaited_;  ///< the checkpoint that its end waits for
  bool final_saved_ = false;
  std::string save_error_;

  // Deadlines.
  time_point began_{}, wall_at_{}, last_sign_{};
  time_point looked_at_{};               ///< for the costly signs, or the last sign
  std::optional<time_point> answer_by_;  ///< of the look that decides
  bool heard_ = false;                   ///< some sign of life since the start
  std::optional<time_point> soft_at_;    ///< until it has fired
  std::optional<time_point> until_;      ///< of freezing, grace, emptying, saving, waiting
};

}  // namespace remora::supervise

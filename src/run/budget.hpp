// What a task, or a run, has used up, beside what it may. Pure. Private to the run room.
#pragma once

#include <optional>
#include <remora/agent/state.hpp>
#include <remora/run/fold.hpp>
#include <remora/supervise/facts.hpp>
#include <string>

namespace remora::run {

struct spending {
  std::uint64_t turns = 0;
  std::uint64_t tokens = 0;
  double cost_usd = 0;
  bool estimated = false;  ///< some of the cost
};
spending operator+(const spending& a, const spending& b);

/// Over all attempts. An agent that tells its cost late, or never, costs at least what its tokens
/// do, where the plan has its prices.
spending spent_by(const agent::state& mind, const plan& what, const task_plan& task);
/// As `task_ended` has it; of one that has not ended, what its events told.
spending spent_by(const task_fold& task);

/// Whether there is an end at all.
constexpr bool has_end(const budget& most) {
  return most.turns > 0 || most.tokens > 0 || most.cost_usd > 0;
}

/// What is used up; nothing: there is something left. `next_turn`: one more turn than `so_far` has
/// begins. `keys`: of the plan, for the text: `limits` or `budget`.
std::optional<supervise::over_budget> exceeded(const budget& most, const spending& so_far,
                                               bool next_turn, const run_id& run,
                                               std::string_view keys);

}  // namespace remora::run

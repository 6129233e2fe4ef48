// What must hold, whatever happens: told by the model what is done and by the journal's bytes what
// is durable. It shares no code with the engine.
#pragma once

#include <map>
#include <remora/run/engine.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/world.hpp"

namespace remora::sim {

class checker {
 public:
  explicit checker(world& w);

  /// A record that an orchestrator showed: from here on it is acknowledged.
  void told(const run::record& r, const life* by);
  void synced(std::string_view bytes);

  /// Somebody writes who does not hold the run.
  void writes(const life* who, const char* what);
  void starts(const virtual_process& p, const life* who);
  void slot_goes(const std::string& name, const worktree& slot);
  void result_made(std::size_t task, units work);
  void checkpoint_goes(std::size_t task);
  void run_goes();
  /// What was begun goes on as a new run, from the checkpoints that it has.
  void rerun_begins();
  /// An orchestrator came to its end in good order.
  void ended(const run::run_summary& summary, const life* who);
  /// Nothing is left to do: all that was acknowledged is in git, and nothing else.
  void over();

  /// A ref that somebody else moved, or a removal that was made to fail, is no fault of ours.
  void excuse_ref(std::size_t task) { tasks_[task].excused = true; }
  void excuse_slot(const std::string& name) { excused_slots_.insert(name); }
  /// What was learnt of it cannot be read, or could not be written: a later life does not know.
  void excuse_account() { account_excused_ = true; }
  bool run_announced() const { return announced_; }

 private:
  struct task_facts {
    units acknowledged = 0;
    std::string outcome;                     ///< the last durable one; empty: goes on
    std::set<std::uint32_t> started, ended;  ///< attempts, durable
    std::uint32_t counted = 0;               ///< of them, durable
    bool excused = false;
    bool in_run = true;  ///< false: it had succeeded before the rerun
  };
  struct paused {
    wall_time until;  ///< the end of time: a login
    const life* by;
    time_point at;
  };
  void learn(std::string_view type, std::string_view line);
  std::size_t task_of(const std::string& name) const;
  int expected_exit() const;
  void task_over(std::size_t task);
  void account_told(const run::record& r, const life* by);

  world& w_;
  std::vector<task_facts> tasks_;
  std::set<std::string> excused_slots_;
  std::map<std::string, paused> paused_;  ///< accounts
  bool account_excused_ = false;
  bool announced_ = false;
  std::string line_;  ///< not yet whole
};

}  // namespace remora::sim

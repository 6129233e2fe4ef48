// Which tasks start now, which never will, and when a run is over. Pure: outcomes in, indices out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <remora/supervise/actions.hpp>
#include <set>
#include <unordered_map>
#include <vector>

namespace remora::supervise {

struct scheduled_task {
  std::size_t id = 0;              ///< the caller's index; unique
  std::vector<std::size_t> after;  ///< ids of the tasks that must succeed first
};

/// Tasks start in the order given, at most `parallel` at a time, each after all of its `after` have
/// succeeded. Where one of those fails, is cancelled or skipped, it is skipped; where one is
/// interrupted, it neither starts nor is skipped: both go on at `resume`.
/// Thread: one at a time. Cost: a call is O(log n) for each task that it touches.
class scheduler {
 public:
  /// An unknown or repeated id or a cycle is a bug of the caller: std::invalid_argument.
  scheduler(std::vector<scheduled_task> tasks, std::size_t parallel);

  /// Those returned are running from now on; one that `may` not start yet keeps its turn. After
  /// `stop`: none.
  std::vector<std::size_t> start_now(const std::function<bool(std::size_t)>& may = {});
  /// A task that runs, but waits for long, leaves its place to others; it needs one again to go on.
  void leave(std::size_t id);
  /// False: none is free.
  bool enter(std::size_t id);
  /// `id` has ended: one that ran, or one that is known to have ended before (resume). The second
  /// end of a task changes nothing.
  void ended(std::size_t id, task_outcome outcome);
  /// Those skipped since the last call, each once, a dependency before its dependents; not those
  /// that were told to have ended.
  std::vector<std::size_t> newly_skipped();
  /// Nothing runs, and nothing will start.
  bool done() const noexcept;
  /// What has not started does not start any more.
  void stop() noexcept { stopped_ = true; }

 private:
  enum class state { blocked, ready, running, ended };
  struct node {
    std::size_t id = 0;
    std::size_t missing = 0;           ///< dependencies that have not succeeded yet
    std::vector<std::size_t> waiters;  ///< positions
    scheduler::state state = scheduler::state::blocked;
    bool away = false;  ///< runs, and has no place
  };

  std::size_t position(std::size_t id) const;
  bool has_place() const noexcept { return running_ - away_ < parallel_; }
  void refuse_cycles() const;
  void release(const node& n);
  void skip_waiters(std::size_t position);

  std::vector<node> nodes_;
  std::unordered_map<std::size_t, std::size_t> positions_;
  std::set<std::size_t> ready_;  ///< positions
  std::vector<std::size_t> skipped_;
  std::size_t parallel_, running_ = 0, away_ = 0;
  bool stopped_ = false;
};

}  // namespace remora::supervise

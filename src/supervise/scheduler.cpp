#include <algorithm>
#include <remora/supervise/scheduler.hpp>
#include <stdexcept>
#include <utility>

namespace remora::supervise {

scheduler::scheduler(std::vector<scheduled_task> tasks, std::size_t parallel)
    : nodes_(tasks.size()), parallel_(std::max<std::size_t>(parallel, 1)) {
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    nodes_[i].id = tasks[i].id;
    if (!positions_.emplace(tasks[i].id, i).second)
      throw std::invalid_argument("scheduler: two tasks have one id");
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    auto& after = tasks[i].after;
    std::sort(after.begin(), after.end());
    after.erase(std::unique(after.begin(), after.end()), after.end());
    for (const auto id : after) nodes_[position(id)].waiters.push_back(i);
    nodes_[i].missing = after.size();
  }
  refuse_cycles();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].missing > 0) continue;
    nodes_[i].state = state::ready;
    ready_.insert(i);
  }
}

std::size_t scheduler::position(std::size_t id) const {
  const auto found = positions_.find(id);
  if (found == positions_.end()) throw std::invalid_argument("scheduler: no task has this id");
  return found->second;
}

// Takes away, again and again, what waits for nothing; a cycle is what stays.
void scheduler::refuse_cycles() const {
  std::vector<std::size_t> missing, free;
  for (const auto& n : nodes_) missing.push_back(n.missing);
  for (std::size_t i = 0; i < missing.size(); ++i)
    if (missing[i] == 0) free.push_back(i);
  std::size_t taken = 0;
  for (; !free.empty(); ++taken) {
    const auto i = free.back();
    free.pop_back();
    for (const auto w : nodes_[i].waiters)
      if (--missing[w] == 0) free.push_back(w);
  }
  if (taken != nodes_.size()) throw std::invalid_argument("scheduler: tasks wait for each other");
}

std::vector<std::size_t> scheduler::start_now(const std::function<bool(std::size_t)>& may) {
  std::vector<std::size_t> ids;
  if (stopped_) return ids;
  for (auto at = ready_.begin(); at != ready_.end() && has_place();) {
    auto& n = nodes_[*at];
    if (may && !may(n.id)) {
      ++at;
      continue;
    }
    at = ready_.erase(at);
    n.state = state::running;
    ++running_;
    ids.push_back(n.id);
  }
  return ids;
}

void scheduler::leave(std::size_t id) {
  auto& n = nodes_[position(id)];
  if (n.state != state::running || std::exchange(n.away, true)) return;
  ++away_;
}

bool scheduler::enter(std::size_t id) {
  auto& n = nodes_[position(id)];
  if (!n.away) return true;
  if (!has_place()) return false;
  n.away = false;
  --away_;
  return true;
}

void scheduler::ended(std::size_t id, task_outcome outcome) {
  const auto i = position(id);
  auto& n = nodes_[i];
  if (n.state == state::ended) {
    std::erase(skipped_, id);  // skipped in an earlier life: nobody has to be told again
    return;
  }
  if (n.state == state::running) --running_;
  if (std::exchange(n.away, false)) --away_;
  ready_.erase(i);
  n.state = state::ended;
  if (outcome == task_outcome::succeeded)
    release(n);
  else if (outcome != task_outcome::interrupted)
    skip_waiters(i);
}

void scheduler::release(const node& n) {
  for (const auto w : n.waiters) {
    if (--nodes_[w].missing > 0 || nodes_[w].state != state::blocked) continue;
    nodes_[w].state = state::ready;
    ready_.insert(w);
  }
}

void scheduler::skip_waiters(std::size_t position) {
  std::vector<std::size_t> failed{position};
  for (std::size_t next = 0; next < failed.size(); ++next) {
    for (const auto w : nodes_[failed[next]].waiters) {
      if (nodes_[w].state != state::blocked) continue;
      nodes_[w].state = state::ended;
      skipped_.push_back(nodes_[w].id);
      failed.push_back(w);
    }
  }
}

std::vector<std::size_t> scheduler::newly_skipped() {
  return std::exchange(skipped_, {});
}

bool scheduler::done() const noexcept {
  return running_ == 0 && (stopped_ || ready_.empty());
}

}  // namespace remora::supervise

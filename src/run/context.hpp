// What all tasks of one run share. Thread: the loop's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <remora/io/timers.hpp>
#include <remora/process/host.hpp>
#include <remora/run/environment.hpp>
#include <remora/run/run_store.hpp>
#include <remora/supervise/outer_limits.hpp>

#include "run/account_book.hpp"
#include "run/budget.hpp"

namespace remora::run {

struct run_context {
  boost::asio::any_io_executor loop;
  clock& time;
  io::timers& timers;
  process::host& host;
  run_store& store;
  run_id id;
  plan what;
  run_layout layout;
  std::vector<std::string> dirty;  ///< paths of the checkout that the base does not hold

  std::unique_ptr<journal> log;
  run_fold fold;
  std::function<void(const record&)> observe;
  std::function<void(error)> broken;  ///< the journal cannot be written: the run must stop
  std::function<void(const task_id&)>
      settled;  ///< a task is past its worktree, or waits for others
  std::function<void(const task_id&, const spending&)> used;  ///< by a task, over all its attempts
  std::function<spending()> spent;                            ///< by the run, so far
  std::optional<supervise::over_budget> over_budget;          ///< of the run
  std::map<std::string, std::string> accounts;                ///< of each agent
  std::unique_ptr<account_book> book;
  supervise::outer_limits outer;  ///< of its agents

  /// Whose account is to be open, of the agents of a task's list from `first` on.
  account_book::request request_of(std::size_t task, std::size_t first) const {
    const task_plan& t = what.tasks[task];
    account_book::request r{.task = task, .accounts = {}, .longest = t.limits.rate_wait};
    for (std::size_t i = first; i < t.agents.size(); ++i)
      r.accounts.push_back(accounts.at(t.agents[i]));
    return r;
  }

  /// Appends, folds and shows one record.
  sequence tell(std::string type, boost::json::object payload) {
    const record r = log->append(std::move(type), std::move(payload));
    fold.apply(r);
    if (observe) observe(r);
    return r.seq;
  }
};

}  // namespace remora::run

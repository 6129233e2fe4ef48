// The engine's insides, shared by its sources: engine.cpp (a new run, and the work),
// engine_resume.cpp (what comes before the work where a run goes on). Private to the run room.
#pragma once

#include <deque>
#include <exception>
#include <remora/io/inbox.hpp>
#include <remora/io/task_group.hpp>
#include <remora/run/engine.hpp>
#include <remora/supervise/scheduler.hpp>
#include <set>

#include "run/guarded_host.hpp"
#include "run/task_runner.hpp"

namespace remora::run {

/// The machine's clock and disk, for an engine that was given no others.
struct machine {
  machine(boost::asio::any_io_executor loop, git::repository& repo)
      : timers(io::make_timers(std::move(loop))),
        store(make_git_store(repo)),
        pauses(make_shared_pauses(pauses_directory())) {}
  std::unique_ptr<io::timers> timers;
  std::unique_ptr<run_store> store;
  std::unique_ptr<shared_pauses> pauses;
};

struct engine::impl {
  impl(boost::asio::any_io_executor executor, seams s, observer o)
      : loop(std::move(executor)),
        on(std::move(s)),
        starts(on.host, on.store),
        observe(std::move(o)),
        inbox(loop) {}

  struct task_over {
    std::size_t index;
    supervise::task_outcome outcome;
  };
  struct task_settled {
    std::size_t index;
  };
  struct stop_asked {};
  struct account_changed {};
  using message = std::variant<task_over, task_settled, stop_asked, account_changed>;

  result<void> open(const run_id& id, plan what);
  result<void> read_journal();
  boost::asio::awaitable<result<std::vector<git::omission>>> take_checkout(const plan& what);
  boost::asio::awaitable<result<void>> begin_new(const new_run& what, boost::json::object started);
  boost::asio::awaitable<result<void>> begin_again(const std::vector<std::string>& settings);
  boost::asio::awaitable<result<run_summary>> work();
  void begin_tasks(io::task_group& group);
  void open_accounts();
  bool may_begin(std::size_t index);
  void refuse_closed(std::size_t index, const account_book::reply& why);
  void tell_closed();
  void tell_unenforceable();
  boost::asio::awaitable<void> run_task(std::size_t index);
  boost::asio::awaitable<result<task_start>> start_of(const task_plan& task, task_store& store);
  boost::asio::awaitable<void> work_on(std::size_t index, std::unique_ptr<task_store> store,
                                       supervise::task_outcome& outcome);
  supervise::task_outcome refuse(const task_plan& task, const error& why);
  boost::asio::awaitable<result<void>> end(run_summary summary);
  void skip(std::size_t index);
  void start_log(std::unique_ptr<journal_file> file, sequence next);
  boost::asio::awaitable<result<task_start>> recover(const task_plan& task, task_store& store);
  boost::asio::awaitable<result<void>> record_rest();
  void remove_run();
  void count(supervise::task_outcome outcome);
  void stop_all();
  void watch_budget();

  std::unique_ptr<machine> own;
  boost::asio::any_io_executor loop;
  seams on;
  guarded_host starts;  ///< `on.host`, while the run is ours
  observer observe;
  io::inbox<message> inbox;

  std::unique_ptr<run_context> context;
  std::map<std::string, git::oid>
      bases;  ///< task → commit, for those that do not wait for a result
  std::map<std::string, git::oid> records;              ///< of a rerun
  std::map<std::string, git::oid> results;              ///< of tasks that succeeded
  std::map<std::string, supervise::task_outcome> over;  ///< before this life
  std::map<std::string, spending> spent;                ///< by each task
  std::vector<std::unique_ptr<task_runner>> runners;
  std::optional<supervise::scheduler> scheduler;
  std::deque<std::size_t> due;      ///< tasks to be begun
  std::deque<std::size_t> closed;   ///< tasks that no account is open to
  std::set<std::size_t> beginning;  ///< those that are not settled yet
  bool stopping = false;
  run_summary summary;
  int interrupts = 0;
  std::optional<error> failure;
};

}  // namespace remora::run

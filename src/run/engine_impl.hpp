// The engine's insides, shared by its sources: engine.cpp (a new run, and the work),
// engine_resume.cpp (what comes before the work where a run goes on). Private to the run room.
#pragma once

#include <exception>
#include <remora/io/inbox.hpp>
#include <remora/io/task_group.hpp>
#include <remora/run/engine.hpp>

#include "run/recover.hpp"
#include "run/task_runner.hpp"

namespace remora::run {

struct engine::impl {
  impl(boost::asio::any_io_executor executor, git::repository& r, process::host& h, clock& c,
       observer o)
      : loop(std::move(executor)), repo(r), host(h), time(c), observe(std::move(o)), inbox(loop) {}

  struct task_over {
    std::size_t index;
    supervise::task_outcome outcome;
  };
  struct stop_asked {};
  using message = std::variant<task_over, stop_asked>;

  result<void> open(const run_id& id, plan what);
  boost::asio::awaitable<result<void>> begin_new(const new_run& what, boost::json::object started);
  boost::asio::awaitable<result<void>> begin_again();
  boost::asio::awaitable<result<run_summary>> work();
  boost::asio::awaitable<void> run_task(std::size_t index);
  boost::asio::awaitable<result<task_start>> start_of(const task_plan& task);
  boost::asio::awaitable<result<void>> end(run_summary summary);
  void skip(std::size_t index);
  void start_log(std::unique_ptr<journal_file> file, sequence next);
  boost::asio::awaitable<result<void>> recover(const task_plan& task);
  boost::asio::awaitable<result<void>> record_rest();
  void count(supervise::task_outcome outcome);
  void stop_all();

  boost::asio::any_io_executor loop;
  git::repository& repo;
  process::host& host;
  clock& time;
  observer observe;
  io::inbox<message> inbox;

  std::unique_ptr<run_lock> lock;
  std::unique_ptr<run_context> context;
  std::map<std::string, git::oid>
      bases;  ///< task → commit, for those that do not wait for a result
  std::map<std::string, git::oid> records;              ///< of a rerun
  std::map<std::string, task_start> starts;             ///< of a resumed run
  std::map<std::string, git::oid> results;              ///< of tasks that succeeded
  std::map<std::string, supervise::task_outcome> over;  ///< before this life
  std::vector<std::unique_ptr<task_runner>> runners;
  run_summary summary;
  int interrupts = 0;
  std::optional<error> failure;
};

// What the engine asks of a git worker, as functions of values.
result<void> record_start(run_record_writer* recorder, boost::json::object run, plan what,
                          std::vector<git::oid> parents);
result<void> record_end(run_record_writer* recorder, boost::json::object ended,
                        std::filesystem::path journal);
result<void> open_record(run_record_writer* recorder);
result<recovered_task> recover_on(git_worker* worker, run_id run, task_plan task, task_fold fold);
result<task_start> start_on(git_worker* worker, run_id run, git::oid record);
/// A task that ended without a runner; nothing if its end is recorded already.
result<void> record_task(run_record_writer* recorder, task_id task, boost::json::object payload,
                         std::optional<git::oid> record);

}  // namespace remora::run

// Runs a plan: the tasks' order, their git workers, the journal and the run's record. Thread: the
// loop's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <remora/io/timers.hpp>
#include <remora/process/host.hpp>
#include <remora/run/fold.hpp>
#include <remora/run/pauses.hpp>
#include <remora/run/preview.hpp>
#include <remora/run/run_record.hpp>
#include <string>

namespace remora::run {

class run_store;

struct run_summary {
  std::size_t succeeded = 0, failed = 0, interrupted = 0, cancelled = 0, skipped = 0;
  /// 0 all succeeded; 3 something can be resumed (wins over 1); 1 a task failed, was cancelled or
  /// skipped.
  int exit_status() const;
};

/// A new run, checked before anything starts.
struct new_run {
  run_id id;
  run::plan plan;
  std::optional<run_id> continues;          ///< the run whose unfinished tasks these are
  std::map<std::string, git::oid> records;  ///< task → the checkpoint it goes on from
};

/// What a run stands on. Each outlives the engine.
struct seams {
  clock& time;
  io::timers& timers;  ///< of the same clock
  process::host& host;
  run_store& store;
  std::function<std::unique_ptr<committer>()> commits;  ///< a new one for each journal
  std::string boot;                                     ///< of this machine
  shared_pauses& pauses;
};

class engine {
 public:
  using observer = std::function<void(const record&)>;

  /// On the machine's clock and disk.
  engine(boost::asio::any_io_executor loop, git::repository& repo, process::host& host,
         observer observe);
  engine(boost::asio::any_io_executor loop, seams on, observer observe);
  /// Not before the loop has ended what `run` started, or was stopped for good.
  ~engine();

  /// Takes the run's lock, resolves every base, checks agents and names, makes record and journal
  /// durable, then works. Errors: errc::usage, errc::repository, errc::environment, errc::held —
  /// nothing was started; errno of the journal later on — agents were ended, and `resume` goes on.
  boost::asio::awaitable<result<run_summary>> run(new_run what);
  /// The same run goes on from its journal. `settings`: as of `apply_settings`, for this life and
  /// later ones. Errors: as above; errc::usage of a setting: nothing was started.
  boost::asio::awaitable<result<run_summary>> resume(run_id id,
                                                     std::vector<std::string> settings = {});

  /// Ctrl-C: every attempt is saved and ended. A second time: at once. Before `run`: remembered.
  void interrupt();

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// The tasks of `old` that did not succeed, there or in a later rerun, as a new run. `only`: a part
/// of them. Errors: errc::no_match (nothing left, or an unknown task in `only`), errc::corrupt.
result<new_run> plan_rerun(const git::repository& repo, const recorded_run& old,
                           const std::vector<std::string>& only, run_id id, bool clean);

}  // namespace remora::run

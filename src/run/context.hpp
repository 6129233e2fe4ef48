// What all tasks of one run share. Thread: the loop's, but for what a worker owns.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <remora/process/host.hpp>
#include <remora/run/environment.hpp>
#include <remora/run/fold.hpp>
#include <remora/run/git_jobs.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/layout.hpp>
#include <remora/run/run_record.hpp>

namespace remora::run {

struct run_context {
  boost::asio::any_io_executor loop;
  clock& time;
  process::host& host;
  run_id id;
  plan what;
  run_layout layout;
  std::filesystem::path slots_root;
  std::filesystem::path checkout;  ///< the user's; empty for a bare repository
  std::vector<std::string> dirty;  ///< paths of the checkout that the base does not hold

  std::vector<std::unique_ptr<git_worker>> workers;
  std::unique_ptr<run_record_writer> recorder;  ///< used on `workers.front()` only
  std::unique_ptr<journal> log;
  run_fold fold;
  std::function<void(const record&)> observe;
  std::function<void(error)> broken;  ///< the journal cannot be written: the run must stop

  /// Appends, folds and shows one record.
  sequence tell(std::string type, boost::json::object payload) {
    const record r = log->append(std::move(type), std::move(payload));
    fold.apply(r);
    if (observe) observe(r);
    return r.seq;
  }
};

}  // namespace remora::run

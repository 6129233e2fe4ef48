#include <boost/json.hpp>
#include <remora/core/posix.hpp>

#include "run/engine_impl.hpp"

namespace remora::run {

namespace json = boost::json;
namespace fs = std::filesystem;

result<void> record_start(run_record_writer* recorder, json::object run, plan what,
                          std::vector<git::oid> parents) {
  return recorder->start(run, what, std::move(parents));
}

result<void> record_end(run_record_writer* recorder, json::object ended, fs::path journal) {
  REMORA_TRY(const std::string text, read_file(journal));
  return recorder->finish(ended, text);
}

result<void> open_record(run_record_writer* recorder) {
  return recorder->open();
}

result<recovered_task> recover_on(git_worker* worker, run_id run, task_plan task, task_fold fold) {
  return recover_task(worker->repo, worker->objects, run, task, fold);
}

result<task_start> start_on(git_worker* worker, run_id run, git::oid record) {
  return start_from(worker->repo, worker->objects, run, record);
}

result<void> record_task(run_record_writer* recorder, task_id task, json::object payload,
                         std::optional<git::oid> record) {
  if (recorder->has_task(task)) return {};
  return recorder->task_ended(task, payload, record, std::nullopt);
}

}  // namespace remora::run

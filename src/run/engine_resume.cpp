#include <fmt/format.h>

#include <boost/json.hpp>
#include <remora/io/run_on.hpp>

#include "run/engine_impl.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

void read_ids(const json::object& from, std::string_view key, std::map<std::string, git::oid>& to) {
  const json::value* all = from.if_contains(key);
  if (!all || !all->is_object()) return;
  for (const auto& [task, text] : all->get_object())
    if (auto id = git::oid::parse(text.as_string())) to[task] = *id;
}

supervise::task_outcome outcome_of(const task_fold& fold) {
  using enum supervise::task_outcome;
  for (const auto o : {succeeded, cancelled, skipped})
    if (supervise::name(o) == fold.outcome()) return o;
  return failed;
}

}  // namespace

asio::awaitable<result<run_summary>> engine::resume(run_id id) {
  impl& self = *impl_;
  const run_layout layout(self.repo.common_dir(), id);
  auto contents = read_journal(layout.journal());
  if (!contents && contents.error().is(errc::no_match)) {
    sweep_runs(self.repo);  // killed while the directory of an ended run was being removed
    co_return fail(errc::no_match, fmt::format("run {} has no journal here: it has ended, or ran "
                                               "elsewhere; 'remora rerun {}' starts what it "
                                               "left unfinished as a new run",
                                               id.str(), id.str()));
  }
  if (!contents) co_return contents.error();
  if (contents->records.empty())
    co_return fail(
        errc::no_match,
        fmt::format("run {} was ended before it began: nothing was started, and there is "
                    "nothing to go on with; 'remora run' starts anew",
                    id.str()));
  run_fold fold;
  for (const record& r : contents->records) fold.apply(r);
  const json::value* recorded = fold.started.if_contains("plan");
  if (!recorded || !recorded->is_object())
    co_return fail(errc::corrupt,
                   fmt::format("{} does not begin with a plan", layout.journal().string()));
  auto what = plan_from_json(recorded->as_object());
  if (!what) co_return what.error();
  auto opened = self.open(id, std::move(*what));
  if (!opened) co_return opened.error();
  // Read again under the lock: whoever held it before may have gone on writing.
  contents = read_journal(layout.journal());
  if (!contents) co_return contents.error();
  run_context& run = *self.context;
  for (const record& r : contents->records) run.fold.apply(r);
  auto file = open_journal_file(layout.journal(), contents->valid_bytes);
  if (!file) co_return file.error();
  self.start_log(std::move(*file), run.fold.last + 1);
  auto begun = co_await self.begin_again();
  if (!begun) co_return begun.error();
  co_return co_await self.work();
}

asio::awaitable<result<void>> engine::impl::begin_again() {
  run_context& run = *context;
  asio::thread_pool& pool = run.workers.front()->pool;
  auto known = co_await io::run_on(pool, open_record, run.recorder.get());
  if (!known &&
      known.error().is(errc::no_match)) {  // we died between the journal's first record and the ref
    std::vector<git::oid> parents;
    known = co_await io::run_on(pool, record_start, run.recorder.get(), run.fold.started, run.what,
                                parents);
  }
  if (!known) co_return known.error();
  run.tell("run_resumed", json::object{{"run", run.id.str()}});
  read_ids(run.fold.started, "bases", bases);
  read_ids(run.fold.started, "records", records);
  const auto removed = remove_ref_locks(repo.common_dir(), run.id);
  if (!removed) co_return removed.error();
  for (const std::string& ref : *removed)
    run.tell("warning", json::object{{"text", "removed the stale lock " + ref}});
  for (const task_plan& t : run.what.tasks) {
    const task_fold& fold = run.fold.tasks.at(t.id.str());
    if (fold.is_done()) {
      over[t.id.str()] = outcome_of(fold);
      results[t.id.str()] = fold.published;
      continue;
    }
    if (fold.base.is_zero()) continue;  // it had not started
    auto recovered = co_await recover(t);
    if (!recovered) co_return recovered.error();
  }
  co_return result<void>();
}

asio::awaitable<result<void>> engine::impl::recover(const task_plan& task) {
  run_context& run = *context;
  git_worker* worker = run.workers.front().get();
  const task_fold fold = run.fold.tasks.at(task.id.str());
  auto recovered = co_await io::run_on(worker->pool, recover_on, worker, run.id, task, fold);
  if (!recovered) co_return recovered.error();
  task_start& start = recovered->start;
  if (const auto from = records.find(task.id.str()); from != records.end()) {
    start.old_run = from->second;
    if (!start.record &&
        start.published.is_zero()) {  // of a rerun, before its own first checkpoint
      auto old = co_await io::run_on(worker->pool, start_on, worker, run.id, from->second);
      if (!old) co_return old.error();
      start.record = old->record;
      start.number = old->number;
      start.base = old->base;
      start.changed = old->changed;
      start.mind = std::move(old->mind);
      start.made = std::max(start.made, old->made);
    }
  }
  for (const std::string& remark : recovered->remarks)
    run.tell("warning", json::object{{"task", task.id.str()}, {"text", remark}});
  starts.insert_or_assign(task.id.str(), std::move(start));
  run.tell("task_resumed", json::object{{"task", task.id.str()}});
  co_return result<void>();
}

}  // namespace remora::run

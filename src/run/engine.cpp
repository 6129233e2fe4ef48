#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <remora/core/posix.hpp>
#include <remora/io/inbox.hpp>
#include <remora/io/run_on.hpp>
#include <remora/io/task_group.hpp>
#include <remora/run/engine.hpp>
#include <remora/supervise/scheduler.hpp>

#include "run/recover.hpp"
#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace fs = std::filesystem;
namespace {

/// libgit2 does not get faster above two writers (toolchain measurements: 1/2/4/8 threads).
constexpr std::size_t git_workers = 2;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

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

json::object ids_json(const std::map<std::string, git::oid>& ids) {
  json::object o;
  for (const auto& [task, id] : ids) o[task] = id.hex();
  return o;
}

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

int run_summary::exit_status() const {
  if (interrupted > 0) return 3;
  return failed + cancelled + skipped > 0 ? 1 : 0;
}

struct engine::impl {
  impl(asio::any_io_executor executor, git::repository& r, process::host& h, clock& c, observer o)
      : loop(std::move(executor)), repo(r), host(h), time(c), observe(std::move(o)), inbox(loop) {}

  struct task_over {
    std::size_t index;
    supervise::task_outcome outcome;
  };
  struct stop_asked {};
  using message = std::variant<task_over, stop_asked>;

  result<void> open(const run_id& id, plan what);
  asio::awaitable<result<void>> begin_new(const new_run& what, json::object started);
  asio::awaitable<result<void>> begin_again();
  asio::awaitable<result<run_summary>> work();
  asio::awaitable<void> run_task(std::size_t index);
  asio::awaitable<result<task_start>> start_of(const task_plan& task);
  asio::awaitable<result<void>> end(run_summary summary);
  void skip(std::size_t index);
  void start_log(std::unique_ptr<journal_file> file, sequence next);
  asio::awaitable<result<void>> recover(const task_plan& task);
  asio::awaitable<result<void>> record_rest();
  void count(supervise::task_outcome outcome);
  void stop_all();

  asio::any_io_executor loop;
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

engine::engine(asio::any_io_executor loop, git::repository& repo, process::host& host, clock& time,
               observer observe)
    : impl_(std::make_unique<impl>(std::move(loop), repo, host, time, std::move(observe))) {}

engine::~engine() = default;

void engine::interrupt() {
  ++impl_->interrupts;
  impl_->inbox.post(impl::stop_asked());
}

/// Everything that a run holds open, before the first record.
result<void> engine::impl::open(const run_id& id, plan what) {
  REMORA_TRY(fs::path slots, slots_root(repo, what.workspace.dir));
  context.reset(new run_context{.loop = loop,
                                .time = time,
                                .host = host,
                                .id = id,
                                .what = std::move(what),
                                .layout = run_layout(repo.common_dir(), id),
                                .slots_root = std::move(slots),
                                .checkout = repo.work_dir().value_or(fs::path()),
                                .dirty = {},
                                .workers = {},
                                .recorder = {},
                                .log = {},
                                .fold = {},
                                .observe = observe,
                                .broken = {}});
  REMORA_TRY(run_lock taken, run_lock::take(context->layout));
  lock = std::make_unique<run_lock>(std::move(taken));
  sweep_slots(context->slots_root);
  for (std::size_t i = 0; i < git_workers; ++i) {
    REMORA_TRY(git::repository opened, repo.reopen());
    context->workers.push_back(std::make_unique<git_worker>(std::move(opened), lock.get()));
  }
  git_worker& first = *context->workers.front();
  context->recorder =
      std::make_unique<run_record_writer>(first.repo, first.objects, id, lock.get());
  context->broken = [this](error e) {
    if (!failure) failure = std::move(e);
    inbox.post(stop_asked());
  };
  for (const task_plan& t : context->what.tasks) {
    REMORA_CHECK(make_directories(context->layout.notes(t.id).parent_path()));
  }
  return {};
}

asio::awaitable<result<run_summary>> engine::run(new_run what) {
  impl& self = *impl_;
  const auto view = preview(self.repo, what.plan);
  if (!view) co_return view.error();
  self.bases = view->bases;
  self.records = what.records;
  sweep_runs(self.repo);
  auto synced = git::sync_object_database(self.repo);
  if (!synced) co_return synced.error();
  auto opened = self.open(what.id, what.plan);
  if (!opened) co_return opened.error();
  self.context->dirty = view->dirty;

  json::object started{{"schema", run_schema},
                       {"run", what.id.str()},
                       {"name", what.plan.name},
                       {"host", host_name()},
                       {"started", iso8601(self.time.wall())},
                       {"planned", what.plan.tasks.size()},
                       {"bases", ids_json(self.bases)},
                       {"records", ids_json(self.records)},
                       {"dirty", !view->dirty.empty()},
                       {"plan", to_json(what.plan)}};
  if (what.continues) started["continues"] = what.continues->str();
  auto begun = co_await self.begin_new(what, std::move(started));
  if (!begun) {  // nothing was announced: nothing stays
    self.context->log.reset();
    std::error_code ignored;
    fs::remove_all(self.context->layout.root, ignored);
    co_return begun.error();
  }
  co_return co_await self.work();
}

/// Journal, then record; only then is anything printed or started.
asio::awaitable<result<void>> engine::impl::begin_new(const new_run& what, json::object started) {
  run_context& run = *context;
  auto file = open_journal_file(run.layout.journal(), 0);
  if (!file) co_return file.error();
  start_log(std::move(*file), 1);
  const record first = run.log->append("run_started", started);
  run.fold.apply(first);
  auto durable = co_await run.log->durable(first.seq);
  if (!durable) co_return durable.error();
  std::vector<git::oid> parents;
  for (const auto& [task, commit] : bases) parents.push_back(commit);
  if (what.continues) {
    const auto old = repo.read_ref(checkpoint::run_ref(*what.continues));
    if (old && *old) parents.push_back(**old);
  }
  asio::thread_pool& pool = run.workers.front()->pool;
  auto recorded =
      co_await io::run_on(pool, record_start, run.recorder.get(), started, run.what, parents);
  if (!recorded) co_return recorded.error();
  if (observe) observe(first);
  co_return result<void>();
}

/// A journal that cannot be written, or is no longer ours to write, ends the run at once.
void engine::impl::start_log(std::unique_ptr<journal_file> file, sequence next) {
  auto ours = guarded(std::move(file), [held = lock.get()] { return held->check(); });
  context->log = std::make_unique<journal>(loop, std::move(ours), time, next);
  context->log->on_failure(context->broken);
}

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

asio::awaitable<result<run_summary>> engine::impl::work() {
  run_context& run = *context;
  const std::vector<task_plan>& tasks = run.what.tasks;
  std::vector<supervise::scheduled_task> order;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    supervise::scheduled_task t{.id = i, .after = {}};
    for (const task_id& before : tasks[i].after)
      t.after.push_back(static_cast<std::size_t>(run.what.find(before) - tasks.data()));
    order.push_back(std::move(t));
    if (!over.contains(tasks[i].id.str()))
      run.tell("task_queued", json::object{{"task", tasks[i].id.str()}});
  }
  supervise::scheduler scheduler(std::move(order), run.what.parallel);
  runners.resize(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto before = over.find(tasks[i].id.str());
    if (before == over.end()) continue;
    scheduler.ended(i, before->second);
    count(before->second);
  }
  io::task_group group(loop);
  if (interrupts > 0) scheduler.stop();
  for (;;) {
    for (const std::size_t i : scheduler.start_now()) group.spawn(tasks[i].id.str(), run_task(i));
    for (const std::size_t i : scheduler.newly_skipped()) skip(i);
    if (scheduler.done()) break;
    const message m = co_await inbox.next();
    if (const auto* ended = std::get_if<task_over>(&m)) {
      count(ended->outcome);
      scheduler.ended(ended->index, ended->outcome);
      runners[ended->index].reset();
    } else {
      scheduler.stop();
      stop_all();
    }
  }
  co_await group.join();
  summary.interrupted =
      tasks.size() - summary.succeeded - summary.failed - summary.cancelled - summary.skipped;
  if (failure) co_return *failure;
  auto closed = co_await end(summary);
  if (!closed) co_return closed.error();
  co_return summary;
}

asio::awaitable<void> engine::impl::run_task(std::size_t index) {
  const task_plan& task = context->what.tasks[index];
  auto start = co_await start_of(task);
  supervise::task_outcome outcome = supervise::task_outcome::failed;
  std::exception_ptr failed;  // the others go on to their ends first
  if (start) {
    git_worker* worker = context->workers[index % context->workers.size()].get();
    runners[index] = std::make_unique<task_runner>(*context, task, std::move(*start), worker);
    if (interrupts > 0) runners[index]->stop(supervise::stop_kind::interrupt, interrupts > 1);
    try {
      outcome = co_await runners[index]->run();
    } catch (...) {
      failed = std::current_exception();
    }
    if (outcome == supervise::task_outcome::succeeded)
      results[task.id.str()] = runners[index]->result_commit();
  } else {
    context->tell("warning", json::object{{"task", task.id.str()}, {"text", start.error().what}});
    context->tell("task_ended", json::object{{"task", task.id.str()},
                                             {"outcome", "failed"},
                                             {"verdict", "setup_failed"},
                                             {"why", start.error().what}});
  }
  inbox.post(task_over{index, outcome});
  if (failed) std::rethrow_exception(failed);
}

asio::awaitable<result<task_start>> engine::impl::start_of(const task_plan& task) {
  if (const auto resumed = starts.find(task.id.str()); resumed != starts.end())
    co_return resumed->second;
  if (const auto from = records.find(task.id.str()); from != records.end()) {
    git_worker* worker = context->workers.front().get();
    co_return co_await io::run_on(worker->pool, start_on, worker, context->id, from->second);
  }
  task_start start;
  if (task.base_task)
    start.base = results[task.base_task->str()];
  else
    start.base = bases[task.id.str()];
  co_return start;
}

void engine::impl::stop_all() {
  for (const auto& runner : runners)
    if (runner) runner->stop(supervise::stop_kind::interrupt, interrupts > 1);
}

void engine::impl::skip(std::size_t index) {
  const std::string& id = context->what.tasks[index].id.str();
  context->tell("task_ended", json::object{{"task", id},
                                           {"outcome", "skipped"},
                                           {"why", "a task that it waits for did not succeed"}});
  count(supervise::task_outcome::skipped);
}

void engine::impl::count(supervise::task_outcome outcome) {
  switch (outcome) {
    case supervise::task_outcome::succeeded:
      ++summary.succeeded;
      break;
    case supervise::task_outcome::failed:
      ++summary.failed;
      break;
    case supervise::task_outcome::cancelled:
      ++summary.cancelled;
      break;
    case supervise::task_outcome::skipped:
      ++summary.skipped;
      break;
    case supervise::task_outcome::interrupted:
      break;  // counted as what is left
  }
}

/// A run has ended when no task is left to resume: its journal is folded into the record and
/// removed. One that can be resumed keeps its journal.
asio::awaitable<result<void>> engine::impl::end(run_summary s) {
  run_context& run = *context;
  const json::object ended{{"run", run.id.str()},          {"exit", s.exit_status()},
                           {"succeeded", s.succeeded},     {"failed", s.failed},
                           {"interrupted", s.interrupted}, {"cancelled", s.cancelled},
                           {"skipped", s.skipped},         {"ended", iso8601(time.wall())}};
  const sequence last = run.tell("run_ended", ended);
  auto durable = co_await run.log->durable(last);
  if (!durable) co_return durable.error();
  if (s.interrupted > 0) co_return result<void>();
  auto rest = co_await record_rest();
  if (!rest) co_return rest.error();
  asio::thread_pool& pool = run.workers.front()->pool;
  auto recorded =
      co_await io::run_on(pool, record_end, run.recorder.get(), ended, run.layout.journal());
  if (!recorded) co_return recorded.error();
  run.log.reset();
  std::error_code ignored;  // what stays is swept when the next run begins
  fs::remove(run.layout.journal(), ignored);
  fs::remove_all(run.layout.root, ignored);
  co_return result<void>();
}

/// Tasks that ended without a runner (skipped, or their start could not be read), or between their
/// end and its record.
asio::awaitable<result<void>> engine::impl::record_rest() {
  run_context& run = *context;
  asio::thread_pool& pool = run.workers.front()->pool;
  for (const task_plan& t : run.what.tasks) {
    const task_fold& fold = run.fold.tasks.at(t.id.str());
    if (!fold.is_done()) continue;
    std::optional<git::oid> newest;
    if (fold.saved && fold.published.is_zero()) newest = fold.saved->record;
    auto recorded =
        co_await io::run_on(pool, record_task, run.recorder.get(), t.id, fold.ended, newest);
    if (!recorded) co_return recorded.error();
  }
  co_return result<void>();
}

}  // namespace remora::run

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/supervise/scheduler.hpp>

#include "run/engine_impl.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

json::object ids_json(const std::map<std::string, git::oid>& ids) {
  json::object o;
  for (const auto& [task, id] : ids) o[task] = id.hex();
  return o;
}

}  // namespace

int run_summary::exit_status() const {
  if (interrupted > 0) return 3;
  return failed + cancelled + skipped > 0 ? 1 : 0;
}

engine::engine(asio::any_io_executor loop, git::repository& repo, process::host& host,
               observer observe) {
  auto own = std::make_unique<machine>(loop, repo);
  seams on{machine_clock(),    *own->timers, host,        *own->store,
           make_commit_thread, boot_id(),    *own->pauses};
  impl_ = std::make_unique<impl>(std::move(loop), std::move(on), std::move(observe));
  impl_->own = std::move(own);
}

engine::engine(asio::any_io_executor loop, seams on, observer observe)
    : impl_(std::make_unique<impl>(std::move(loop), std::move(on), std::move(observe))) {}

engine::~engine() = default;

void engine::interrupt() {
  ++impl_->interrupts;
  impl_->inbox.post(impl::stop_asked());
}

/// Everything that a run holds open, before the first record.
result<void> engine::impl::open(const run_id& id, plan what) {
  REMORA_CHECK(on.store.open(id, what));
  context.reset(new run_context{.loop = loop,
                                .time = on.time,
                                .timers = on.timers,
                                .host = starts,
                                .store = on.store,
                                .id = id,
                                .what = std::move(what),
                                .layout = on.store.layout(id),
                                .dirty = {},
                                .log = {},
                                .fold = {},
                                .observe = observe,
                                .broken = {},
                                .settled = {},
                                .used = {},
                                .spent = {},
                                .over_budget = {},
                                .accounts = {},
                                .book = {},
                                .outer = {}});
  context->broken = [this](error e) {
    if (!failure) failure = std::move(e);
    inbox.post(stop_asked());
  };
  context->settled = [this](const task_id& task) {
    const plan& all = context->what;
    const auto index = static_cast<std::size_t>(all.find(task) - all.tasks.data());
    if (beginning.contains(index)) inbox.post(task_settled{index});
  };
  context->used = [this](const task_id& task, const spending& so_far) {
    spent[task.str()] = so_far;
    watch_budget();
  };
  context->spent = [this] {
    spending sum;
    for (const auto& [task, so_far] : spent) sum = sum + so_far;
    return sum;
  };
  open_accounts();
  return {};
}

void engine::impl::open_accounts() {
  run_context& run = *context;
  for (const auto& [name, agent] : run.what.agents) run.accounts[name] = account_of(agent);
  const auto tell = [&run](const std::string& account, const supervise::pause* p) {
    if (!p) {
      run.tell("account_resumed", json::object{{"account", account}});
      return;
    }
    const json::value until = p->until ? json::value(iso8601(*p->until)) : json::value(nullptr);
    run.tell("account_paused", json::object{{"account", account},
                                            {"verdict", agent::name(p->why.verdict)},
                                            {"text", p->why.text},
                                            {"until", until}});
  };
  run.book = std::make_unique<account_book>(
      run.time, run.timers, on.pauses,
      account_book::hooks{.tell = tell,
                          .changed = [this] { inbox.post(account_changed()); },
                          .leave = [this](std::size_t task) { scheduler->leave(task); },
                          .enter = [this](std::size_t task) { return scheduler->enter(task); }});
}

asio::awaitable<result<run_summary>> engine::run(new_run what) {
  impl& self = *impl_;
  run_store& store = self.on.store;
  const auto view = store.preview(what.plan);
  if (!view) co_return view.error();
  self.bases = view->bases;
  self.records = what.records;
  store.sweep();
  auto synced = store.sync_objects();
  if (!synced) co_return synced.error();
  auto opened = self.open(what.id, what.plan);
  if (!opened) co_return opened.error();
  self.context->dirty = view->dirty;
  auto left_out = co_await self.take_checkout(what.plan);
  if (!left_out) {
    self.remove_run();
    co_return left_out.error();
  }

  json::object started{{"schema", run_schema},
                       {"run", what.id.str()},
                       {"name", what.plan.name},
                       {"host", host_name()},
                       {"started", iso8601(self.on.time.wall())},
                       {"planned", what.plan.tasks.size()},
                       {"bases", ids_json(self.bases)},
                       {"records", ids_json(self.records)},
                       {"dirty", !view->dirty.empty()},
                       {"plan", to_json(what.plan)}};
  if (what.continues) started["continues"] = what.continues->str();
  auto begun = co_await self.begin_new(what, std::move(started));
  if (!begun) {  // nothing was announced: nothing stays
    self.remove_run();
    co_return begun.error();
  }
  for (const git::omission& o : *left_out)
    self.context->tell("warning", json::object{{"text", fmt::format("the base is without {} ({})",
                                                                    to_utf8(o.path), o.reason)}});
  co_return co_await self.work();
}

/// Where that is the base: what the commit has not.
asio::awaitable<result<std::vector<git::omission>>> engine::impl::take_checkout(const plan& what) {
  if (what.base != checkout_as_base) co_return std::vector<git::omission>();
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(on.time.wall().time_since_epoch());
  auto taken = co_await on.store.commit_checkout(now.count());
  if (!taken) co_return within("base: worktree", taken.error());
  for (const task_plan& t : what.tasks)
    if (t.base.empty() && !t.base_task) bases[t.id.str()] = taken->commit;
  co_return std::move(taken->left_out);
}

/// Journal, then record; only then is anything printed or started.
asio::awaitable<result<void>> engine::impl::begin_new(const new_run& what, json::object started) {
  run_context& run = *context;
  auto file = run.store.open_journal(0);
  if (!file) co_return file.error();
  start_log(std::move(*file), 1);
  const record first = run.log->append("run_started", started);
  run.fold.apply(first);
  auto durable = co_await run.log->durable(first.seq);
  if (!durable) co_return durable.error();
  std::vector<git::oid> parents;
  for (const auto& [task, commit] : bases) parents.push_back(commit);
  auto recorded = co_await run.store.record_start(started, std::move(parents), what.continues);
  if (!recorded) co_return recorded.error();
  if (observe) observe(first);
  co_return result<void>();
}

/// A journal that cannot be written, or is no longer ours to write, ends the run at once.
void engine::impl::start_log(std::unique_ptr<journal_file> file, sequence next) {
  auto ours = guarded(std::move(file), [store = &on.store] { return store->check(); });
  context->log =
      std::make_unique<journal>(loop, std::move(ours), on.time, next, on.commits(), on.boot);
  context->log->on_failure(context->broken);
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
  tell_unenforceable();
  scheduler.emplace(std::move(order), run.what.parallel);
  runners.resize(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto before = over.find(tasks[i].id.str());
    if (before == over.end()) continue;
    scheduler->ended(i, before->second);
    count(before->second);
  }
  io::task_group group(loop);
  if (interrupts > 0) scheduler->stop();
  for (;;) {
    for (const std::size_t i : scheduler->start_now([&](std::size_t i) { return may_begin(i); }))
      due.push_back(i);
    for (; !closed.empty(); closed.pop_front())
      scheduler->ended(closed.front(), supervise::task_outcome::interrupted);
    begin_tasks(group);
    for (const std::size_t i : scheduler->newly_skipped()) skip(i);
    if (scheduler->done()) break;
    const message m = co_await inbox.next();
    if (const auto* ended = std::get_if<task_over>(&m)) {
      count(ended->outcome);
      scheduler->ended(ended->index, ended->outcome);
      beginning.erase(ended->index);
      runners[ended->index].reset();
      run.book->ended(ended->index);
      run.book->look_again();
    } else if (const auto* settled = std::get_if<task_settled>(&m)) {
      beginning.erase(settled->index);
    } else if (std::holds_alternative<stop_asked>(m)) {
      stopping = true;
      scheduler->stop();
      stop_all();
    }
  }
  co_await group.join();
  run.book->rest();
  const auto freed = co_await run.store.remove_free_slots();
  summary.interrupted =
      tasks.size() - summary.succeeded - summary.failed - summary.cancelled - summary.skipped;
  if (failure) co_return *failure;
  if (!freed)
    run.tell("warning", json::object{{"text", fmt::format("a worktree that no task got stays: {}",
                                                          freed.error().what)}});
  tell_closed();
  auto ended = co_await end(summary);
  if (!ended) co_return ended.error();
  co_return summary;
}

/// The first of many is at work before the last one's worktree is looked at: all at once, they
/// would take turns at every step, and end together. What is stopped is not begun, but told so.
void engine::impl::begin_tasks(io::task_group& group) {
  constexpr std::size_t at_once = 8;
  while (!due.empty() && (stopping || beginning.size() < at_once)) {
    const std::size_t index = due.front();
    due.pop_front();
    beginning.insert(index);
    group.spawn(context->what.tasks[index].id.str(), run_task(index));
  }
}

/// A task that has begun, in an earlier life, has something to save or to publish: whether its next
/// attempt may start, it asks itself.
bool engine::impl::may_begin(std::size_t index) {
  const task_plan& task = context->what.tasks[index];
  if (context->over_budget) return true;  // it is told so
  if (!context->fold.tasks.at(task.id.str()).base.is_zero()) return true;
  const auto reply = context->book->ask(context->request_of(index, 0));
  if (reply && reply->which) return true;
  if (reply) refuse_closed(index, *reply);
  return false;
}

/// It has not begun, and goes on at the next `resume`.
void engine::impl::refuse_closed(std::size_t index, const account_book::reply& why) {
  const std::string& task = context->what.tasks[index].id.str();
  context->tell("task_ended",
                json::object{{"task", task},
                             {"outcome", supervise::name(supervise::task_outcome::interrupted)},
                             {"verdict", agent::name(why.of->why.verdict)},
                             {"detail", why.of->why.detail},
                             {"why", words_for(why.account, *why.of, context->id)},
                             {"attempts", 0}});
  closed.push_back(index);
}

/// Whose login or quota it is, since when, and what to do: once, at the end.
void engine::impl::tell_closed() {
  for (const auto& [account, p] : context->book->closed())
    context->tell("warning", json::object{{"text", words_for(account, p, context->id)}});
}

/// Limits of the plan that this machine, or this user on it, has no means for: once, at the start.
void engine::impl::tell_unenforceable() {
  process::tree_limits wanted;
  for (const task_plan& t : context->what.tasks) {
    if (over.contains(t.id.str())) continue;
    wanted.memory_bytes = std::max(wanted.memory_bytes, t.tree.memory_bytes);
    wanted.processes = std::max(wanted.processes, t.tree.processes);
  }
  for (const std::string& text : starts.unenforceable(wanted))
    context->tell("warning", json::object{{"text", text}});
}

asio::awaitable<void> engine::impl::run_task(std::size_t index) {
  const task_plan& task = context->what.tasks[index];
  supervise::task_outcome outcome = supervise::task_outcome::failed;
  std::exception_ptr failed;
  try {
    auto store = on.store.open_task(task);
    if (store)
      co_await work_on(index, std::move(*store), outcome);
    else
      outcome = refuse(task, store.error());
  } catch (...) {
    failed = std::current_exception();
  }
  inbox.post(task_over{index, outcome});
  if (!failed) co_return;
  inbox.post(stop_asked());  // the others are saved; then the run ends with the exception
  std::rethrow_exception(failed);
}

asio::awaitable<void> engine::impl::work_on(std::size_t index, std::unique_ptr<task_store> store,
                                            supervise::task_outcome& outcome) {
  const task_plan& task = context->what.tasks[index];
  auto start = co_await start_of(task, *store);
  if (!start) {
    outcome = refuse(task, start.error());
    co_return;
  }
  runners[index] =
      std::make_unique<task_runner>(*context, task, std::move(*start), std::move(store));
  if (interrupts > 0 || stopping)
    runners[index]->stop(supervise::stop_kind::interrupt, interrupts > 1);
  outcome = co_await runners[index]->run();
  if (outcome == supervise::task_outcome::succeeded)
    results[task.id.str()] = runners[index]->result_commit();
}

/// A task that could not be begun: one that had been before goes on at the next `resume`.
supervise::task_outcome engine::impl::refuse(const task_plan& task, const error& why) {
  const bool begun = !context->fold.tasks.at(task.id.str()).base.is_zero();
  const auto outcome =
      begun ? supervise::task_outcome::interrupted : supervise::task_outcome::failed;
  context->tell("warning", json::object{{"task", task.id.str()}, {"text", why.what}});
  context->tell("task_ended", json::object{{"task", task.id.str()},
                                           {"outcome", supervise::name(outcome)},
                                           {"verdict", "setup_failed"},
                                           {"why", why.what}});
  return outcome;
}

asio::awaitable<result<task_start>> engine::impl::start_of(const task_plan& task,
                                                           task_store& store) {
  const task_fold& fold = context->fold.tasks.at(task.id.str());
  if (!fold.base.is_zero()) co_return co_await recover(task, store);
  if (const auto from = records.find(task.id.str()); from != records.end())
    co_return co_await store.start_from(from->second);
  task_start start;
  if (task.base_task)
    start.base = results[task.base_task->str()];
  else
    start.base = bases[task.id.str()];
  co_return start;
}

void engine::impl::watch_budget() {
  run_context& run = *context;
  if (run.over_budget || !has_end(run.what.budget)) return;
  run.over_budget = exceeded(run.what.budget, run.spent(), false, run.id, "budget");
  if (!run.over_budget) return;
  for (const auto& runner : runners)
    if (runner) runner->tell(*run.over_budget);
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
                           {"skipped", s.skipped},         {"ended", iso8601(on.time.wall())}};
  const sequence last = run.tell("run_ended", ended);
  auto durable = co_await run.log->durable(last);
  if (!durable) co_return durable.error();
  if (s.interrupted > 0) co_return result<void>();
  auto rest = co_await record_rest();
  if (!rest) co_return rest.error();
  auto recorded = co_await run.store.record_end(ended);
  if (!recorded) co_return recorded.error();
  remove_run();
  co_return result<void>();
}

void engine::impl::remove_run() {
  context->log.reset();
  if (!on.store.check()) return;  // who was stopped for long may have lost it
  on.store.remove_run();
  on.store.sweep();  // of a worktree that could not be removed whole: nobody comes back to this run
}

/// Tasks that ended without a runner (skipped, or their start could not be read), or between their
/// end and its record.
asio::awaitable<result<void>> engine::impl::record_rest() {
  run_context& run = *context;
  for (const task_plan& t : run.what.tasks) {
    const task_fold& fold = run.fold.tasks.at(t.id.str());
    if (!fold.is_done()) continue;
    std::optional<git::oid> newest;
    if (fold.saved && fold.published.is_zero()) newest = fold.saved->record;
    auto recorded = co_await run.store.record_missing_task(t.id, fold.ended, newest);
    if (!recorded) co_return recorded.error();
  }
  co_return result<void>();
}

}  // namespace remora::run

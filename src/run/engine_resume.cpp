#include <fmt/format.h>

#include <boost/json.hpp>

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

std::optional<run_id> continued_run(const json::object& started) {
  const json::value* old = started.if_contains("continues");
  if (!old || !old->is_string()) return std::nullopt;
  const auto id = run_id::parse(old->get_string());
  return id ? std::optional(*id) : std::nullopt;
}

supervise::task_outcome outcome_of(const task_fold& fold) {
  using enum supervise::task_outcome;
  for (const auto o : {succeeded, cancelled, skipped})
    if (supervise::name(o) == fold.outcome()) return o;
  return failed;
}

}  // namespace

asio::awaitable<result<run_summary>> engine::resume(run_id id, std::vector<std::string> settings) {
  impl& self = *impl_;
  run_store& store = self.on.store;
  auto first = store.read_journal_head(id);
  if (!first && first.error().is(errc::no_match)) {
    store.sweep();  // killed while the directory of an ended run was being removed
    co_return fail(errc::no_match, fmt::format("run {} has no journal here: it has ended, or ran "
                                               "elsewhere; 'remora rerun {}' starts what it "
                                               "left unfinished as a new run",
                                               id.str(), id.str()));
  }
  if (!first) co_return first.error();
  if (!*first)
    co_return fail(
        errc::no_match,
        fmt::format("run {} was ended before it began: nothing was started, and there is "
                    "nothing to go on with; 'remora run' starts anew",
                    id.str()));
  auto what = recorded_plan((*first)->payload);
  if (!what) co_return within(store.layout(id).journal().string(), what.error());
  auto opened = self.open(id, std::move(*what));
  if (!opened) co_return opened.error();
  auto ours = self.read_journal();
  if (!ours) co_return ours.error();
  auto begun = co_await self.begin_again(settings);
  if (!begun) co_return begun.error();
  co_return co_await self.work();
}

/// Under the lock: whoever held it before may have gone on writing.
result<void> engine::impl::read_journal() {
  run_context& run = *context;
  REMORA_TRY(const journal_contents contents, run.store.read_journal());
  run.fold = fold_records(contents.records);
  REMORA_TRY(std::unique_ptr<journal_file> file, run.store.open_journal(contents.valid_bytes));
  start_log(std::move(file), run.fold.last + 1);
  return {};
}

asio::awaitable<result<void>> engine::impl::begin_again(const std::vector<std::string>& settings) {
  run_context& run = *context;
  std::vector<std::string> all = run.fold.settings;
  all.insert(all.end(), settings.begin(), settings.end());
  if (auto set = apply_settings(run.what, all); !set) co_return set.error();
  read_ids(run.fold.started, "bases", bases);
  read_ids(run.fold.started, "records", records);
  const auto removed = run.store.remove_ref_locks();  // the record's too, so before it is written
  if (!removed) co_return removed.error();
  auto known = co_await run.store.record_open();
  if (!known &&
      known.error().is(errc::no_match)) {  // we died between the journal's first record and the ref
    std::vector<git::oid> parents;
    for (const auto& [task, commit] : bases) parents.push_back(commit);
    std::optional<run_id> continues = continued_run(run.fold.started);
    known =
        co_await run.store.record_start(run.fold.started, std::move(parents), std::move(continues));
  }
  if (!known) co_return known.error();
  run.tell("run_resumed", json::object{{"run", run.id.str()},
                                       {"set", json::array(settings.begin(), settings.end())}});
  for (const std::string& ref : *removed)
    run.tell("warning", json::object{{"text", "removed the stale lock " + ref}});
  for (const task_plan& t : run.what.tasks) {
    const task_fold& fold = run.fold.tasks.at(t.id.str());
    spent[t.id.str()] = spent_by(fold);
    if (!fold.is_done()) continue;
    over[t.id.str()] = outcome_of(fold);
    results[t.id.str()] = fold.published;
  }
  co_return result<void>();
}

/// A task that had started before: done when its turn comes, beside what runs already.
asio::awaitable<result<task_start>> engine::impl::recover(const task_plan& task,
                                                          task_store& store) {
  run_context& run = *context;
  const task_fold fold = run.fold.tasks.at(task.id.str());
  auto recovered = co_await store.recover(fold);
  if (!recovered) co_return recovered.error();
  const auto slot_there = fold.slot.empty() ? result<bool>(false) : store.slot_exists(fold.slot);
  if (!slot_there) co_return slot_there.error();
  take_fold(fold, *slot_there, on.boot, *recovered);
  task_start& start = recovered->start;
  if (const auto from = records.find(task.id.str()); from != records.end()) {
    start.old_run = from->second;
    if (!start.record &&
        start.published.is_zero()) {  // of a rerun, before its own first checkpoint
      auto old = co_await store.start_from(from->second);
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
  run.tell("task_resumed", json::object{{"task", task.id.str()}});
  co_return std::move(start);
}

}  // namespace remora::run

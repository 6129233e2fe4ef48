#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/run/leftovers.hpp>
#include <remora/run/retire.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// What one selector of `drop` names.
struct goods {
  run::run_view view;
  std::optional<task_id> task;
  std::shared_ptr<run::held_run> held;  ///< by all that are of one run
};

result<goods> select_goods(const git::repository& repo, const std::string& selector,
                           const std::vector<goods>& others) {
  REMORA_TRY(const run::selection what, run::select(repo, selector));
  REMORA_CHECK(no_checkpoint(what, selector));
  std::shared_ptr<run::held_run> held;
  for (const goods& other : others)
    if (other.view.id == what.run) held = other.held;
  if (!held) {
    REMORA_TRY(run::held_run taken, run::held_run::take(repo, what.run));
    held = std::make_shared<run::held_run>(std::move(taken));
  }
  REMORA_TRY(run::run_view view, run::load_run(repo, what.run));
  return goods{std::move(view), what.task, std::move(held)};
}

/// The tasks of it: one, or all of the run.
std::vector<const run::task_fold*> tasks_of(const goods& g) {
  std::vector<const run::task_fold*> tasks;
  for (const auto& [name, task] : g.view.fold.tasks)
    if (!g.task || g.task->str() == name) tasks.push_back(&task);
  return tasks;
}

result<void> check_merged(const git::repository& repo, const goods& g) {
  for (const run::task_fold* task : tasks_of(g)) {
    REMORA_TRY(const std::string work, run::unmerged_work(repo, g.view, *task));
    if (!work.empty())
      return fail(
          errc::usage,
          fmt::format("{}; take it in first (remora show {}/{}), or give it up with --force", work,
                      g.view.id.str(), task->id));
  }
  return {};
}

/// Why a run is not pruned, or nothing.
result<std::string> why_kept(const git::repository& repo, const run::run_view& view) {
  if (view.live) return std::string("it is running");
  if (view.state() == "interrupted")
    return std::string("it can be resumed or rerun; 'remora drop' gives that up");
  for (const auto& [name, task] : view.fold.tasks) {
    REMORA_TRY(const std::string work, run::unmerged_work(repo, view, task));
    if (!work.empty()) return work;
  }
  return std::string();
}

}  // namespace

result<int> drop_command(session& s, const std::vector<std::string>& selectors, bool force) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  std::vector<goods> all;
  for (const std::string& selector : selectors) {
    REMORA_TRY(goods g, select_goods(repo, selector, all));
    if (!force) REMORA_CHECK(check_merged(repo, g));
    all.push_back(std::move(g));
  }
  for (const goods& g : all) {  // only now: all of it, or nothing
    if (!g.task) {
      REMORA_CHECK(run::remove_run(repo, g.view));
      s.out << fmt::format("dropped {}\n", g.view.id.str());
      continue;
    }
    for (const run::task_fold* task : tasks_of(g)) {
      REMORA_CHECK(run::cancel_task(repo, g.view, *task, g.held->lock()));
      REMORA_CHECK(run::drop_task(repo, g.view, *task));
      s.out << fmt::format("dropped {}/{}\n", g.view.id.str(), task->id);
    }
  }
  all.clear();  // a run that is held keeps its packs
  run::sweep_leftovers(repo);
  return 0;
}

namespace {

void say_pruned(session& s, const std::string& what, const char* done, const std::string& why) {
  if (s.json)
    s.out << json::object{{"schema", "remora.prune/1"},
                          {"run", what},
                          {"action", done},
                          {"why", why}}
          << '\n';
  else
    s.out << fmt::format("{}  {}{}{}\n", printable(what), done, why.empty() ? "" : ": ", why);
}

}  // namespace

result<int> prune_command(session& s, const prune_options& o) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const auto age, parse_duration(o.older_than));
  std::vector<run_id> ids;
  if (o.run.empty()) {
    REMORA_TRY(const auto all, run::all_runs(repo));
    for (const run_id& id : all)
      if (run::started_at(id) + age <= machine_clock().wall()) ids.push_back(id);
  } else {
    REMORA_TRY(const run_id id, run::find_run(repo, o.run));
    ids.push_back(id);
  }
  const char* done = o.yes ? "removed" : "would be removed";
  for (const run_id& id : ids) {
    const auto view = run::load_run(repo, id);
    if (!view) {  // one damaged run does not keep the others
      say_pruned(s, id.str(), "kept", view.error().what);
      continue;
    }
    REMORA_TRY(const std::string kept, why_kept(repo, *view));
    if (kept.empty() && o.yes) {
      REMORA_TRY(const run::held_run held, run::held_run::take(repo, id));
      REMORA_CHECK(run::remove_run(repo, *view));
    }
    say_pruned(s, id.str(), kept.empty() ? done : "kept", kept);
  }
  std::vector<run::leftover> stale;
  if (o.run.empty()) stale = run::find_leftovers(repo, run::thoroughness::certain);
  for (const run::leftover& l : stale) {
    if (o.yes) {
      const auto removed = l.remove(repo);
      if (!removed) {
        say_pruned(s, l.subject, "kept", removed.error().what);
        continue;
      }
      if (!*removed) continue;
    }
    say_pruned(s, l.subject, done, l.text);
  }
  if (o.yes) run::sweep_leftovers(repo);
  if (!o.yes && !s.json && ids.size() + stale.size() > 0)
    s.err << "remora: nothing was removed; --yes does it\n";
  return 0;
}

}  // namespace remora::front

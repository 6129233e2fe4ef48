#include <fmt/format.h>

#include <chrono>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/run/retire.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// Tasks that a selection names: one, or all of the run.
std::vector<const run::task_fold*> chosen_tasks(const run::run_view& view,
                                                const run::selection& what) {
  std::vector<const run::task_fold*> tasks;
  for (const auto& [name, task] : view.fold.tasks)
    if (!what.task || what.task->str() == name) tasks.push_back(&task);
  return tasks;
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

wall_time started_at(const run_id& id) {
  std::tm tm{};
  ::strptime(id.str().c_str(), "%Y%m%d-%H%M%S", &tm);
  return std::chrono::system_clock::from_time_t(::timegm(&tm));
}

}  // namespace

result<int> drop_command(session& s, const std::vector<std::string>& selectors, bool force) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  for (const std::string& selector : selectors) {
    REMORA_TRY(const run::selection what, run::select(repo, selector));
    REMORA_TRY(const run::run_view view, run::load_run(repo, what.run));
    if (view.live)
      return fail(errc::held, fmt::format("run {} is running; end it first", what.run.str()));
    for (const run::task_fold* task : chosen_tasks(view, what)) {
      REMORA_TRY(const std::string work, run::unmerged_work(repo, view, *task));
      if (!work.empty() && !force)
        return fail(errc::usage, fmt::format("{}; merge it, or give it up with --force", work));
      REMORA_CHECK(run::drop_task(repo, view, *task));
      s.out << fmt::format("dropped {}/{}\n", what.run.str(), task->id);
    }
  }
  return 0;
}

result<int> prune_command(session& s, const prune_options& o) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const auto age, parse_duration(o.older_than));
  std::vector<run_id> ids;
  if (o.run.empty()) {
    REMORA_TRY(const auto all, run::all_runs(repo));
    for (const run_id& id : all)
      if (started_at(id) + age <= machine_clock().wall()) ids.push_back(id);
  } else {
    REMORA_TRY(const run_id id, run::find_run(repo, o.run));
    ids.push_back(id);
  }
  for (const run_id& id : ids) {
    REMORA_TRY(const run::run_view view, run::load_run(repo, id));
    REMORA_TRY(const std::string kept, why_kept(repo, view));
    if (kept.empty() && o.yes) REMORA_CHECK(run::remove_run(repo, view));
    const char* what = !kept.empty() ? "kept" : o.yes ? "removed" : "would be removed";
    if (s.json)
      s.out << json::object{{"schema", "remora.prune/1"},
                            {"run", id.str()},
                            {"action", what},
                            {"why", kept}}
            << '\n';
    else
      s.out << fmt::format("{}  {}{}{}\n", id.str(), what, kept.empty() ? "" : ": ", kept);
  }
  if (!o.yes && !ids.empty() && !s.json) s.err << "remora: nothing was removed; --yes does it\n";
  return 0;
}

}  // namespace remora::front

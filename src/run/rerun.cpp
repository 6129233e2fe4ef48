#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/run/engine.hpp>
#include <set>

namespace remora::run {
namespace {

namespace json = boost::json;

/// Tasks that succeeded, with their results: in the run itself, or in a rerun of it, however far
/// removed.
result<std::map<std::string, git::oid>> succeeded_tasks(const git::repository& repo,
                                                        const recorded_run& old) {
  std::map<std::string, git::oid> results;
  std::set<std::string> family{old.id};
  const auto collect = [&](const recorded_run& r) -> result<void> {
    for (const auto& [task, payload] : r.tasks) {
      if (json_text(payload, "outcome") != "succeeded") continue;
      REMORA_TRY(results[task], git::oid::parse(json_text(payload, "commit")));
    }
    return {};
  };
  REMORA_CHECK(collect(old));
  REMORA_TRY(std::vector<run_id> ids, recorded_runs(repo));
  std::ranges::sort(ids);  // oldest first: a rerun is younger than what it continues
  for (const run_id& id : ids) {
    if (id.str() <= old.id) continue;
    auto r = read_run(repo, id);
    if (!r) continue;  // a damaged record of another run is not this one's trouble
    if (!family.contains(json_text(r->run, "continues"))) continue;
    family.insert(r->id);
    REMORA_CHECK(collect(*r));
  }
  return results;
}

/// The newest checkpoint of a task: of this run, else of the reruns of it.
result<std::optional<checkpoint::record>> newest_checkpoint(const git::repository& repo,
                                                            checkpoint::store& store,
                                                            const recorded_run& old,
                                                            const task_id& task) {
  REMORA_TRY(const run_id id, run_id::parse(old.id));
  REMORA_TRY(auto mine, store.newest(id, task));
  REMORA_TRY(const auto ids, recorded_runs(repo));
  for (const run_id& other : ids) {  // newest first
    if (other <= id) break;
    auto r = read_run(repo, other);
    if (!r || json_text(r->run, "continues") != old.id) continue;
    REMORA_TRY(auto theirs, newest_checkpoint(repo, store, *r, task));
    if (theirs) return theirs;
  }
  return mine;
}

/// The checkpoint that a rerun itself went on from: where it failed before its own first one, that
/// still holds the work.
result<std::optional<checkpoint::record>> inherited_checkpoint(const git::repository& repo,
                                                               const recorded_run& old,
                                                               const task_id& task) {
  const json::value* records = old.run.if_contains("records");
  if (!records || !records->is_object()) return std::optional<checkpoint::record>();
  const std::string id = json_text(records->get_object(), task.str());
  if (id.empty()) return std::optional<checkpoint::record>();
  REMORA_TRY(const git::oid record, git::oid::parse(id));
  REMORA_TRY(checkpoint::record found, checkpoint::read_record(repo, record));
  return std::optional(std::move(found));
}

}  // namespace

result<new_run> plan_rerun(const git::repository& repo, const recorded_run& old,
                           const std::vector<std::string>& only, run_id id, bool clean) {
  REMORA_TRY(run::plan whole, recorded_plan(old.run));
  REMORA_TRY(const auto done, succeeded_tasks(repo, old));
  for (const std::string& name : only)
    if (std::ranges::none_of(whole.tasks, [&](const task_plan& t) { return t.id.str() == name; }))
      return fail(errc::no_match, fmt::format("run {} has no task '{}'", old.id, name));

  REMORA_TRY(const run_id old_id, run_id::parse(old.id));
  new_run next{.id = std::move(id), .plan = whole, .continues = old_id, .records = {}};
  next.plan.tasks.clear();
  REMORA_TRY(git::repository own, repo.reopen());
  git::object_writer objects(own);
  checkpoint::store store(own, objects, true);
  const json::value* bases = old.run.if_contains("bases");
  for (task_plan& t : whole.tasks) {
    const bool wanted = only.empty() || std::ranges::find(only, t.id.str()) != only.end();
    if (!wanted || done.contains(t.id.str())) continue;
    std::erase_if(t.after, [&](const task_id& before) { return done.contains(before.str()); });
    if (t.base_task && done.contains(t.base_task->str())) {
      t.base = done.at(t.base_task->str()).hex();
      t.base_task.reset();
    } else if (!t.base_task && bases && bases->is_object()) {
      if (const std::string base = json_text(bases->as_object(), t.id.str()); !base.empty())
        t.base = base;
    }
    if (!clean) {
      REMORA_TRY(auto newest, newest_checkpoint(own, store, old, t.id));
      if (!newest) {
        REMORA_TRY(newest, inherited_checkpoint(own, old, t.id));
      }
      if (newest) {
        next.records.emplace(t.id.str(), newest->commit);
        t.base = newest->base.hex();
        t.base_task.reset();
      }
    }
    next.plan.tasks.push_back(std::move(t));
  }
  if (next.plan.tasks.empty())
    return fail(errc::no_match,
                fmt::format("run {}: every task has succeeded; there is nothing to rerun", old.id));
  for (const task_plan& t : next.plan.tasks)
    for (const task_id& before : t.after)
      if (!next.plan.find(before))
        return fail(errc::usage,
                    fmt::format("task '{}' waits for '{}', which has not succeeded: name it too",
                                t.id.str(), before.str()));
  return next;
}

}  // namespace remora::run

#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

struct counts {
  std::size_t succeeded = 0, open = 0, failed = 0;
};

counts count(const run::run_fold& fold) {
  counts c;
  for (const auto& [id, t] : fold.tasks) {
    if (t.outcome() == "succeeded")
      ++c.succeeded;
    else if (t.is_done())
      ++c.failed;
    else
      ++c.open;
  }
  return c;
}

json::object task_json(const run::run_view& view, const run::task_fold& t) {
  json::array attempts;
  for (const run::attempt_fold& a : t.attempts)
    attempts.push_back(json::object{{"attempt", a.number.value()},
                                    {"agent", a.agent},
                                    {"started", a.started},
                                    {"ended", a.ended},
                                    {"verdict", a.verdict},
                                    {"detail", a.detail},
                                    {"counted", a.counted}});
  json::object o{
      {"schema", "remora.task/1"},
      {"run", view.id.str()},
      {"task", t.id},
      {"live", view.live},
      {"phase", t.phase},
      {"outcome", t.outcome()},
      {"attempts", std::move(attempts)},
      {"checkpoints", t.checkpoints},
      {"checkpoint", t.saved ? json::value(t.saved->number.value()) : json::value(nullptr)},
      {"slot", t.slot}};
  if (t.has_ended()) o["ended"] = t.ended;
  return o;
}

std::string attempt_text(const run::attempt_fold& a) {
  if (a.ended.empty())
    return fmt::format("attempt {} ({}), since {}", a.number.value(), a.agent,
                       short_time(a.started));
  const std::string detail = a.detail.empty() ? "" : fmt::format(" ({})", a.detail);
  const std::string words = one_line(a.text, 100);
  return fmt::format("attempt {} ({}): {}{}{}{}", a.number.value(), a.agent, a.verdict, detail,
                     words.empty() ? "" : ": ", words);
}

/// What a person would type next about a task.
void print_next(std::ostream& out, const run::run_view& view, const run::task_fold& t) {
  const std::string name = view.id.str() + "/" + t.id;
  const std::string branch = branch_name(json_text(t.ended, "branch"));
  if (t.outcome() == "succeeded")
    out << fmt::format("    look: remora diff {}\n    take: git merge {}\n", name, branch);
  else if (view.live && !t.has_ended())
    out << fmt::format("    watch: remora log {} --follow\n", name);
  else if (!t.is_done())
    out << fmt::format("    go on: remora {} {}\n", view.local ? "resume" : "rerun",
                       view.local ? view.id.str() : name);
  else
    out << fmt::format("    look: remora log {}\n    again: remora rerun {}\n", name, name);
}

void print_task(std::ostream& out, const run::run_view& view, const run::task_fold& t, bool next) {
  out << fmt::format("{}  {}\n", pad(t.id, 16), t.has_ended() ? t.outcome() : t.phase);
  for (const run::attempt_fold& a : t.attempts) out << "    " << attempt_text(a) << '\n';
  if (t.saved)
    out << fmt::format("    checkpoint {} ({}), {} in all{}\n", t.saved->number.value(),
                       t.saved->reason, t.checkpoints,
                       t.outcome() == "succeeded"
                           ? ""
                           : fmt::format(": remora checkpoint show {}/{}", view.id.str(), t.id));
  if (const std::string commit = json_text(t.ended, "commit"); !commit.empty())
    out << fmt::format("    result {} on {}\n", commit.substr(0, 10),
                       branch_name(json_text(t.ended, "branch")));
  else if (t.saved)
    out << fmt::format("    files {} on remora-wip/{}/{}\n", t.saved->files.hex().substr(0, 10),
                       view.id.str(), t.id);
  if (!t.slot.empty()) out << "    worktree " << printable(t.slot) << '\n';
  if (const std::string text = json_text(t.ended, "text"); !text.empty())
    out << "    said: " << one_line(text, 100) << '\n';
  if (const std::string text = json_text(t.ended, "result"); !text.empty())
    out << "    left as its result: " << one_line(text, 100) << '\n';
  if (const std::string why = json_text(t.ended, "why"); !why.empty() && t.outcome() != "succeeded")
    out << "    why: " << one_line(why, 300) << '\n';
  if (next) print_next(out, view, t);
}

}  // namespace

result<int> list_command(session& s, const list_options& o) {
  REMORA_TRY(const git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(auto ids, run::all_runs(repo));
  if (!o.after.empty()) {
    REMORA_TRY(const run_id after, run::find_run(repo, o.after));
    std::erase_if(ids, [&](const run_id& id) { return id >= after; });
  }
  if (ids.size() > o.limit)
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(o.limit), ids.end());
  for (const run_id& id : ids) {
    const auto view = run::load_run(repo, id);
    if (!view) {
      if (s.json)
        s.out << json::object{{"schema", "remora.list/1"},
                              {"run", id.str()},
                              {"state", "damaged"},
                              {"error", view.error().what}}
              << '\n';
      else
        s.out << fmt::format("{}  damaged: {}\n", id.str(), printable(view.error().what));
      continue;
    }
    const counts c = count(view->fold);
    const std::string name = json_text(view->fold.started, "name");
    if (s.json) {
      s.out << json::object{{"schema", "remora.list/1"},
                            {"run", id.str()},
                            {"name", name},
                            {"state", view->state()},
                            {"started", view->fold.started_at},
                            {"tasks", view->fold.tasks.size()},
                            {"succeeded", c.succeeded},
                            {"failed", c.failed},
                            {"open", c.open},
                            {"resumable", view->local && !view->live && c.open > 0}}
            << '\n';
    } else {
      s.out << fmt::format("{}  {}  {} {}/{} succeeded  {}\n", id.str(),
                           short_time(view->fold.started_at), pad(view->state(), 11), c.succeeded,
                           view->fold.tasks.size(), printable(name));
    }
  }
  return 0;
}

result<int> show_command(session& s, const std::string& selector) {
  REMORA_TRY(const git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run::selection what, run::select(repo, selector));
  REMORA_CHECK(no_checkpoint(what, selector));
  REMORA_TRY(const run::run_view view, run::load_run(repo, what.run));
  if (!s.json && !what.task) {
    s.out << fmt::format("run {} ({}), {}, started {}\n", view.id.str(),
                         printable(json_text(view.fold.started, "name")), view.state(),
                         short_time(view.fold.started_at));
    if (const std::string old = json_text(view.fold.started, "continues"); !old.empty())
      s.out << "continues " << old << '\n';
  }
  for (const std::string& id : view.fold.order) {
    if (what.task && what.task->str() != id) continue;
    const run::task_fold& t = view.fold.tasks.at(id);
    if (s.json)
      s.out << task_json(view, t) << '\n';
    else
      print_task(s.out, view, t, what.task.has_value());
  }
  if (s.json || what.task) return 0;
  for (const std::string& w : view.fold.warnings) s.out << "warning: " << one_line(w, 300) << '\n';
  if (view.state() == "interrupted")
    s.out << fmt::format("to go on: remora {} {}\n", view.local ? "resume" : "rerun",
                         view.id.str());
  return 0;
}

}  // namespace remora::front

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

void print_task(std::ostream& out, const run::run_view& view, const run::task_fold& t) {
  out << fmt::format("{}  {}\n", pad(t.id, 16), t.has_ended() ? t.outcome() : t.phase);
  for (const run::attempt_fold& a : t.attempts) out << "    " << attempt_text(a) << '\n';
  if (t.saved)
    out << fmt::format("    checkpoint {} ({}), {} in all: remora checkpoint show {}/{}\n",
                       t.saved->number.value(), t.saved->reason, t.checkpoints, view.id.str(),
                       t.id);
  if (!t.published.is_zero())
    out << fmt::format("    result {} on {}\n", t.published.hex().substr(0, 10),
                       json_text(t.ended, "branch").substr(11));
  if (const std::string text = json_text(t.ended, "text"); !text.empty())
    out << "    said: " << one_line(text, 100) << '\n';
  if (const std::string text = json_text(t.ended, "result"); !text.empty())
    out << "    left as its result: " << one_line(text, 100) << '\n';
  if (const std::string why = json_text(t.ended, "why"); !why.empty() && t.outcome() != "succeeded")
    out << "    why: " << one_line(why, 300) << '\n';
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
        s.out << fmt::format("{}  damaged: {}\n", id.str(), view.error().what);
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
      print_task(s.out, view, t);
  }
  if (s.json || what.task) return 0;
  for (const std::string& w : view.fold.warnings) s.out << "warning: " << one_line(w, 300) << '\n';
  if (view.state() == "interrupted")
    s.out << fmt::format("to go on: remora {} {}\n", view.local ? "resume" : "rerun",
                         view.id.str());
  return 0;
}

result<int> results_command(session& s, const std::string& selector) {
  REMORA_TRY(const git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run_id id, run::find_run(repo, selector));
  REMORA_TRY(const run::run_view view, run::load_run(repo, id));
  for (const std::string& name : view.fold.order) {
    const run::task_fold& t = view.fold.tasks.at(name);
    if (t.outcome() != "succeeded") continue;
    const std::string branch = json_text(t.ended, "branch");
    const std::string commit = json_text(t.ended, "commit");
    REMORA_TRY(const auto there, repo.read_ref(branch));
    const json::value* f = t.ended.if_contains("files");
    const json::object files = f && f->is_object() ? f->get_object() : json::object();
    const std::int64_t changed = json_integer(files, "added") + json_integer(files, "modified") +
                                 json_integer(files, "deleted");
    if (s.json) {
      s.out << json::object{{"schema", "remora.result/1"},
                            {"run", id.str()},
                            {"task", name},
                            {"branch", branch},
                            {"commit", commit},
                            {"branch_exists", there.has_value()},
                            {"commits", json_integer(t.ended, "commits")},
                            {"files", files},
                            {"verified", t.ended.contains("verified") ? t.ended.at("verified")
                                                                      : json::value(nullptr)}}
            << '\n';
      continue;
    }
    s.out << fmt::format("{}  {}  {} commits, {} files, +{} -{}  {}{}\n", pad(name, 16),
                         commit.substr(0, 10), json_integer(t.ended, "commits"), changed,
                         json_integer(files, "insertions"), json_integer(files, "deletions"),
                         branch.substr(std::string_view("refs/heads/").size()),
                         there ? "" : " (dropped)");
  }
  return 0;
}

}  // namespace remora::front

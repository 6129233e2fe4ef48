#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

json::object files_of(const run::task_fold& t) {
  const json::value* f = t.ended.if_contains("files");
  return f && f->is_object() ? f->get_object() : json::object();
}

json::object result_json(const run::run_view& view, const run::task_fold& t, bool there) {
  const auto known = [&](std::string_view key) {
    const json::value* v = t.ended.if_contains(key);
    return v ? *v : json::value(nullptr);
  };
  return {{"schema", "remora.result/1"},
          {"run", view.id.str()},
          {"task", t.id},
          {"outcome", t.has_ended() ? t.outcome() : t.phase},
          {"branch", json_text(t.ended, "branch")},
          {"commit", known("commit")},
          {"branch_exists", there},
          {"commits", known("commits")},
          {"files", known("files")},
          {"verified", known("verified")}};
}

std::string result_line(const run::run_view& view, const run::task_fold& t, bool there) {
  if (t.outcome() != "succeeded")
    return fmt::format("{}  {}: remora show {}/{}", pad(t.id, 16),
                       t.has_ended() ? t.outcome() : t.phase, view.id.str(), t.id);
  const json::object files = files_of(t);
  return fmt::format("{}  {}  {} commits, {} files, +{} -{}  {}{}", pad(t.id, 16),
                     json_text(t.ended, "commit").substr(0, 10), json_integer(t.ended, "commits"),
                     json_integer(files, "added") + json_integer(files, "modified") +
                         json_integer(files, "deleted"),
                     json_integer(files, "insertions"), json_integer(files, "deletions"),
                     branch_name(json_text(t.ended, "branch")), there ? "" : " (dropped)");
}

}  // namespace

result<int> results_command(session& s, const std::string& selector) {
  REMORA_TRY(const git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run_id id, run::find_run(repo, selector));
  REMORA_TRY(const run::run_view view, run::load_run(repo, id));
  std::string first;
  for (const std::string& name : view.fold.order) {
    const run::task_fold& t = view.fold.tasks.at(name);
    std::optional<git::oid> there;
    const std::string branch = json_text(t.ended, "branch");
    if (t.outcome() == "succeeded") {
      REMORA_TRY(there, repo.read_ref(branch));
    }
    if (there && first.empty()) first = branch_name(branch);
    if (s.json)
      s.out << result_json(view, t, there.has_value()) << '\n';
    else
      s.out << result_line(view, t, there.has_value()) << '\n';
  }
  if (!s.json && !first.empty()) s.out << "take one in: git merge " << first << '\n';
  return 0;
}

}  // namespace remora::front

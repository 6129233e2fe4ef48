#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/process/line_framer.hpp>
#include <remora/run/layout.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// The bytes that an attempt printed: from its directory while the run's journal is here, else from
/// the checkpoint or the run's record.
result<std::string> transcript(task_in_repository& t, const run::run_view& view,
                               attempt_no attempt) {
  const run::run_layout layout(t.repo.common_dir(), view.id);
  auto bytes =
      read_file(layout.attempt(fmt::format("{}.{}", t.task.str(), attempt.value())) / "out");
  if (bytes) return bytes;
  git::object_writer objects(t.repo);
  const checkpoint::store store(t.repo, objects, true);
  REMORA_TRY(const auto newest, store.newest(view.id, t.task));
  if (newest) return store.read_transcript(*newest, attempt, "out");
  REMORA_TRY(const run::recorded_run recorded, run::read_run(t.repo, view.id));
  REMORA_TRY(const git::commit_info commit, t.repo.read_commit(recorded.tip));
  REMORA_TRY(const auto top, t.repo.find(commit.tree, fmt::format("tasks/{}/transcript/{}/out",
                                                                  t.task.str(), attempt.value())));
  std::string all;
  if (!top) return all;
  REMORA_TRY(const auto groups, t.repo.read_tree(top->id));
  for (const git::tree_entry& group : groups) {
    REMORA_TRY(const auto pieces, t.repo.read_tree(group.id));
    for (const git::tree_entry& piece : pieces) {
      REMORA_TRY(const std::string part, t.repo.read_blob(piece.id));
      all += part;
    }
  }
  return all;
}

std::string event_text(const agent::event& e) {
  if (const auto* m = std::get_if<agent::message>(&e)) return m->text + (m->delta ? "" : "\n");
  if (const auto* r = std::get_if<agent::reasoning>(&e))
    return r->delta ? r->text : fmt::format("(thinks) {}\n", r->text);
  if (const auto* c = std::get_if<agent::tool_call>(&e))
    return fmt::format("\n> {} {}\n", c->name, one_line(json::serialize(c->input), 200));
  if (const auto* r = std::get_if<agent::tool_result>(&e))
    return fmt::format("< {}{}\n", r->ok ? "" : "failed: ", one_line(r->text, 200));
  if (const auto* n = std::get_if<agent::note>(&e)) return fmt::format("(note) {}\n", n->text);
  if (const auto* x = std::get_if<agent::agent_error>(&e))
    return fmt::format("(error) {}: {}\n", agent::name(x->kind), x->text);
  return {};
}

void print_events(session& s, const agent::adapter& adapter, std::string_view bytes) {
  const auto parser = adapter.make_parser();
  process::line_framer lines;
  lines.feed(bytes, [&](std::string_view line) {
    std::vector<agent::event> events;
    parser->out_line(line, events);
    for (const agent::event& e : events) {
      if (s.json)
        s.out << agent::to_json(e) << '\n';
      else
        s.out << printable(event_text(e));
    }
  });
}

}  // namespace

result<int> log_command(session& s, const log_options& o) {
  REMORA_TRY(task_in_repository t, open_task(s, o.selector));
  REMORA_TRY(const run::run_view view, run::load_run(t.repo, t.what.run));
  const json::value* recorded = view.fold.started.if_contains("plan");
  if (!recorded || !recorded->is_object())
    return fail(errc::corrupt, fmt::format("run {} has no plan in its record", view.id.str()));
  REMORA_TRY(const run::plan plan, run::plan_from_json(recorded->as_object()));
  const run::task_fold& fold = view.fold.tasks.at(t.task.str());
  bool found = false;
  for (const run::attempt_fold& a : fold.attempts) {
    if (o.attempt != 0 && a.number.value() != o.attempt) continue;
    found = true;
    REMORA_TRY(const std::string bytes, transcript(t, view, a.number));
    if (o.raw) {
      s.out << bytes;
      continue;
    }
    if (!s.json)
      s.out << fmt::format("--- attempt {} ({}){}\n", a.number.value(), a.agent,
                           a.ended.empty() ? "" : ": " + a.verdict);
    const auto known = plan.agents.find(a.agent);
    if (known == plan.agents.end()) continue;
    REMORA_TRY(const agent::adapter* adapter, agent::find_adapter(known->second.adapter));
    print_events(s, *adapter, bytes);
  }
  if (!found && o.attempt != 0)
    return fail(errc::no_match, fmt::format("task '{}' has no attempt {}; it has {}", t.task.str(),
                                            o.attempt, fold.attempts.size()));
  return 0;
}

}  // namespace remora::front

#include "front/transcript.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ostream>
#include <remora/core/text.hpp>

namespace remora::front {
namespace {

namespace json = boost::json;

std::filesystem::path output_file(const task_in_repository& t, attempt_no attempt) {
  const run::run_layout layout(t.repo.common_dir(), t.what.run);
  return layout.attempt(fmt::format("{}.{}", t.task.str(), attempt.value())) / "out";
}

/// `tasks/<task>/transcript/<attempt>/out/<nn>/<mm>` of the run's record, in order.
result<std::string> recorded_transcript(const task_in_repository& t, attempt_no attempt) {
  REMORA_TRY(const run::recorded_run recorded, run::read_run(t.repo, t.what.run));
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

}  // namespace

result<std::string> read_output(const task_in_repository& t, attempt_no attempt,
                                std::uint64_t offset) {
  const std::filesystem::path file = output_file(t, attempt);
  REMORA_TRY(const unique_fd fd, open_file(file, O_RDONLY));
  if (::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
    return os_error(errno, file.string());
  return read_fd(fd.get());
}

result<std::string> read_transcript(const task_in_repository& t, attempt_no attempt) {
  auto bytes = read_output(t, attempt, 0);
  if (bytes) return bytes;
  REMORA_TRY(git::repository own, t.repo.reopen());
  git::object_writer objects(own);
  const checkpoint::store store(own, objects, true);
  REMORA_TRY(const auto newest, store.newest(t.what.run, t.task));
  if (newest) return store.read_transcript(*newest, attempt, "out");
  return recorded_transcript(t, attempt);
}

attempt_log::attempt_log(session& s, const task_in_repository& t, const run::attempt_fold& a,
                         const agent::adapter* adapter, bool raw)
    : s_(s), where_(t), number_(a.number), raw_(raw) {
  if (adapter) parser_ = adapter->make_parser();
  if (!raw && !s.json)
    s.out << fmt::format("--- attempt {} ({}){}\n", a.number.value(), a.agent,
                         a.ended.empty() ? "" : ": " + a.verdict);
}

void attempt_log::feed(std::string_view bytes) {
  taken_ += bytes.size();
  if (raw_)
    s_.out << bytes;
  else if (parser_)
    lines_.feed(bytes, [this](std::string_view text) { line(text); });
}

void attempt_log::finish() {
  if (!raw_ && parser_ && !lines_.rest().empty()) line(std::string(lines_.rest()));
}

void attempt_log::line(std::string_view text) {
  std::vector<agent::event> events;
  parser_->out_line(text, events);
  for (const agent::event& e : events) {
    if (s_.json)
      s_.out << json::object{{"schema", "remora.log/1"},
                             {"run", where_.what.run.str()},
                             {"task", where_.task.str()},
                             {"attempt", number_.value()},
                             {"event", agent::to_json(e)}}
             << '\n';
    else
      s_.out << printable(event_text(e));
  }
}

result<const agent::adapter*> adapter_of(const run::plan& plan, const run::attempt_fold& a) {
  const auto known = plan.agents.find(a.agent);
  if (known == plan.agents.end()) return nullptr;
  return agent::find_adapter(known->second.adapter);
}

}  // namespace remora::front

#include "tools.hpp"

#include <algorithm>
#include <remora/core/text.hpp>

#include "json_line.hpp"

namespace remora::agent {
namespace json = boost::json;
namespace {

constexpr std::size_t content_bytes = 16 << 10;
constexpr std::size_t most_open = 1000;  ///< a CLI that never tells results must not fill memory
constexpr std::size_t most_tasks = 1000;

plan_status status_of(std::string_view word) {
  if (word == "completed" || word == "done") return plan_status::done;
  if (word == "in_progress") return plan_status::in_progress;
  if (word == "cancelled" || word == "canceled" || word == "deleted") return plan_status::dropped;
  return plan_status::pending;
}

plan whole_plan(const json::object& input) {
  plan p;
  const json::array* todos = array_of(input, "todos");
  if (!todos) return p;
  for (const json::value& v : *todos) {
    const json::object* todo = v.if_object();
    if (!todo) continue;
    const std::string_view text = text_of(*todo, "content");
    p.items.push_back({std::string(text.empty() ? text_of(*todo, "subject") : text),
                       status_of(text_of(*todo, "status"))});
  }
  return p;
}

std::string scalar_text(const json::object& o, std::string_view key) {
  const std::string_view text = text_of(o, key);
  if (!text.empty()) return std::string(text);
  const std::uint64_t n = count_of(o, key);
  return n > 0 ? std::to_string(n) : std::string();
}

/// `Task #1 created successfully: …`, where the structured result is not there.
std::string number_after_hash(std::string_view text) {
  const std::size_t hash = text.find('#');
  if (hash == text.npos) return {};
  const std::string_view from = text.substr(hash + 1);
  return std::string(from.substr(0, from.find_first_not_of("0123456789")));
}

std::string created_id(const json::value* detail, std::string_view text) {
  const json::object* o = detail ? detail->if_object() : nullptr;
  const json::object* task = o ? object_of(*o, "task") : nullptr;
  std::string id = task ? scalar_text(*task, "id") : std::string();
  return id.empty() ? number_after_hash(text) : id;
}

/// Claude says so in the structured result, Qwen in the text.
bool made_new_file(const json::value* detail, std::string_view text) {
  const json::object* o = detail ? detail->if_object() : nullptr;
  if (o && !text_of(*o, "type").empty()) return text_of(*o, "type") == "create";
  return text.starts_with("Successfully created") || text.starts_with("File created");
}

}  // namespace

std::string tools::relative(std::string_view path) const {
  const bool beneath = !cwd_.empty() && path.size() > cwd_.size() + 1 && path.starts_with(cwd_) &&
                       (path[cwd_.size()] == '/' || cwd_.ends_with('/'));
  if (!beneath) return std::string(path);
  path.remove_prefix(cwd_.size());
  return std::string(path.substr(path.find_first_not_of('/')));
}

std::optional<file_change> tools::proposed(const std::string& name,
                                           const json::object* input) const {
  const auto tool = std::ranges::find(box_.writers, name, &write_tool::name);
  if (tool == box_.writers.end() || !input) return std::nullopt;
  const std::string_view path = text_of(*input, tool->path_key);
  if (path.empty()) return std::nullopt;
  file_change f{relative(path), "modify", false, {}};
  if (input->contains(json::string_view(tool->content_key)))
    f.content = head_bytes(text_of(*input, tool->content_key), content_bytes);
  return f;
}

tools::open_call tools::remember(const std::string& name, const json::object* input) const {
  open_call c;
  c.name = name;
  c.write = proposed(name, input);
  if (input && (name == box_.create_task || name == box_.update_task)) {
    c.task = {std::string(text_of(*input, "subject")), status_of(text_of(*input, "status"))};
    c.task_id = scalar_text(*input, "taskId");
    c.status_given = input->contains("status");
  }
  return c;
}

void tools::call(const json::object& block, bool own, std::vector<event>& events) {
  tool_call e;
  e.id = text_of(block, "id");
  e.name = text_of(block, "name");
  if (const json::value* input = block.if_contains("input")) e.input = keep(*input);
  e.mutates = std::ranges::find(box_.read_only, e.name) == box_.read_only.end();

  const json::object* input = e.input.if_object();
  if (!e.id.empty() && open_.size() < most_open) {
    open_call c = remember(e.name, input);
    c.own = own;
    if (open_.try_emplace(e.id, std::move(c)).second && own) ++own_open_;
  }
  std::optional<plan> p;
  if (own && e.name == box_.todo && input) p = whole_plan(*input);
  events.emplace_back(std::move(e));
  if (p) events.emplace_back(std::move(*p));
}

void tools::result(const json::object& block, const json::value* detail,
                   std::vector<event>& events) {
  const std::string_view id = text_of(block, "tool_use_id");
  const bool ok = !flag_of(block, "is_error", false);
  std::string text = content_text(block.if_contains("content"));
  const auto at = open_.find(id);
  std::optional<open_call> call;
  if (at != open_.end()) {
    call = std::move(at->second);
    open_.erase(at);
    if (call->own) --own_open_;
  }
  const bool new_file = made_new_file(detail, text);
  const std::string head(head_bytes(text, 256));
  events.emplace_back(tool_result{std::string(id), ok, std::move(text)});
  if (!call) return;
  if (call->write) {
    if (ok) {
      call->write->applied = true;
      call->write->content.reset();
      if (new_file) call->write->kind = "add";
    }
    events.emplace_back(std::move(*call->write));
  }
  if (ok && call->own) close_task(*call, detail, head, events);
}

void tools::close_task(const open_call& c, const json::value* detail, std::string_view text,
                       std::vector<event>& events) {
  if (box_.create_task.empty()) return;
  if (c.name == box_.create_task) {
    if (tasks_.size() >= most_tasks) return;
    tasks_.emplace_back(created_id(detail, text), c.task);
  } else if (c.name == box_.update_task) {
    const auto task = std::ranges::find(tasks_, c.task_id, [](const auto& t) { return t.first; });
    if (task == tasks_.end()) return;
    if (c.status_given) task->second.status = c.task.status;
    if (!c.task.text.empty()) task->second.text = c.task.text;
  } else {
    return;
  }
  plan p;
  for (const auto& [id, item] : tasks_) p.items.push_back(item);
  events.emplace_back(std::move(p));
}

void tools::abandon(std::vector<event>& events) {
  for (auto& [id, call] : open_)
    if (call.write) events.emplace_back(std::move(*call.write));
  open_.clear();
  own_open_ = 0;
}

}  // namespace remora::agent

#include "run/agent_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/text.hpp>
#include <utility>

namespace remora::run {

namespace json = boost::json;
using agent::plan_status;

namespace {

/// Of one item: no prompt shows more.
constexpr std::size_t longest_item = 1024;

constexpr std::string_view commands = "checkpoint, note, plan or left";

/// Its own words, and those of agents' own lists.
constexpr std::array<std::pair<std::string_view, plan_status>, 6> statuses{
    {{"pending", plan_status::pending},
     {"in_progress", plan_status::in_progress},
     {"done", plan_status::done},
     {"completed", plan_status::done},
     {"dropped", plan_status::dropped},
     {"cancelled", plan_status::dropped}}};

constexpr std::array<std::pair<char, plan_status>, 5> boxes{{{' ', plan_status::pending},
                                                             {'~', plan_status::in_progress},
                                                             {'x', plan_status::done},
                                                             {'X', plan_status::done},
                                                             {'-', plan_status::dropped}}};

error wrong(std::string what) {
  return fail(errc::usage, std::move(what));
}

result<std::string> text_field(const json::object& o, std::string_view key, bool required) {
  const json::value* v = o.if_contains(key);
  if (!v && !required) return std::string();
  if (!v) return wrong(fmt::format("'{}' is missing: it is the text", key));
  if (!v->is_string()) return wrong(fmt::format("'{}' is not a string", key));
  std::string text(trim(v->get_string()));
  if (text.empty()) return wrong(fmt::format("'{}' is empty", key));
  return text;
}

result<agent::plan_item> read_item(const json::value& v, std::size_t number) {
  const json::object* o = v.if_object();
  if (!o) return wrong(fmt::format("item {} of the plan is not an object", number));
  auto text = text_field(*o, "text", true);
  if (!text) return within(fmt::format("item {} of the plan", number), text.error());
  agent::plan_item item{std::string(head_bytes(*text, longest_item)), plan_status::pending};
  const json::value* status = o->if_contains("status");
  if (!status) return item;
  const std::string word = status->is_string() ? std::string(status->get_string()) : "";
  const auto known = std::ranges::find(statuses, word, &decltype(statuses)::value_type::first);
  if (known == statuses.end())
    return wrong(fmt::format(
        "item {} of the plan: 'status' is one of pending, in_progress, done, dropped", number));
  item.status = known->second;
  return item;
}

result<agent::plan> read_items(const json::array& items) {
  if (items.size() > most_plan_items)
    return wrong(fmt::format("a plan has at most {} items", most_plan_items));
  agent::plan plan;
  for (const json::value& v : items) {
    REMORA_TRY(agent::plan_item item, read_item(v, plan.items.size() + 1));
    plan.items.push_back(std::move(item));
  }
  return plan;
}

/// What is behind a list's mark: `-`, `*`, `+`, `12.`, `3)`; nothing where there is none.
std::string_view behind_mark(std::string_view line) {
  std::size_t digits = 0;
  while (digits < line.size() && line[digits] >= '0' && line[digits] <= '9') ++digits;
  const std::string_view marks = digits > 0 ? ".)" : "-*+";
  if (digits + 1 >= line.size() || marks.find(line[digits]) == marks.npos) return {};
  const std::string_view rest = line.substr(digits + 1);
  return rest.starts_with(' ') || rest.starts_with('\t') ? trim(rest) : std::string_view();
}

/// Nothing: a line of another kind.
std::optional<agent::plan_item> read_box(std::string_view line) {
  const std::string_view rest = behind_mark(trim(line));
  if (rest.size() < 4 || rest[0] != '[' || rest[2] != ']') return std::nullopt;
  const auto box = std::ranges::find(boxes, rest[1], &decltype(boxes)::value_type::first);
  const std::string_view text = trim(rest.substr(3));
  if (box == boxes.end() || text.empty()) return std::nullopt;
  return agent::plan_item{std::string(head_bytes(text, longest_item)), box->second};
}

result<agent::plan> read_plan_request(const json::object& o) {
  if (const json::value* items = o.if_contains("items")) {
    if (!items->is_array()) return wrong("'items' is not an array");
    return read_items(items->get_array());
  }
  REMORA_TRY(const std::string text, text_field(o, "text", true));
  return parse_plan(text);
}

}  // namespace

result<agent::plan> parse_plan(std::string_view text) {
  if (trim(text).starts_with('[')) {
    boost::system::error_code ec;
    const json::value v = json::parse(trim(text), ec);
    if (ec || !v.is_array())
      return wrong("the plan begins as a JSON array and is none: " + ec.message());
    return read_items(v.get_array());
  }
  agent::plan plan;
  for (const std::string_view line : split(text, '\n'))
    if (auto item = read_box(line)) plan.items.push_back(std::move(*item));
  if (plan.items.empty())
    return wrong(
        "no plan is in it: write lines like '- [ ] text' and '- [x] text', or a JSON array "
        R"([{"text": …, "status": …}])");
  if (plan.items.size() > most_plan_items)
    return wrong(fmt::format("a plan has at most {} items", most_plan_items));
  return plan;
}

result<agent_request> parse_request(std::string_view line) {
  boost::system::error_code ec;
  const json::value v = json::parse(line, ec);
  if (ec || !v.is_object())
    return wrong(
        fmt::format(R"(a request is one JSON object on one line, such as {{"command":"left"}}{})",
                    ec ? ": " + ec.message() : ""));
  const json::object& o = v.get_object();
  const std::string command = json_text(o, "command");
  if (command == "checkpoint") {
    REMORA_TRY(std::string note, text_field(o, "note", false));
    return agent_request(checkpoint_request{std::move(note)});
  }
  if (command == "note") {
    REMORA_TRY(std::string text, text_field(o, "text", true));
    return agent_request(note_request{std::move(text)});
  }
  if (command == "plan") {
    REMORA_TRY(agent::plan plan, read_plan_request(o));
    return agent_request(std::move(plan));
  }
  if (command == "left") return agent_request(left_request{});
  return wrong(command.empty()
                   ? fmt::format("'command' is missing: {}", commands)
                   : fmt::format("'{}' is no command: {}", one_line(command, 60), commands));
}

std::string accepted(json::object fields) {
  json::object answer{{"ok", true}};
  for (auto& [key, value] : fields) answer[key] = std::move(value);
  return json::serialize(answer);
}

std::string refused(const error& why) {
  json::object answer{{"error", to_utf8(why.what)}};
  if (why.is(errc::usage)) answer["usage"] = true;
  return json::serialize(answer);
}

std::string to_line(const told_event& t) {
  return json::serialize(json::object{{"at", t.at}, {"event", agent::to_json(t.event)}});
}

std::vector<told_event> read_told(std::string_view lines) {
  std::vector<told_event> all;
  for (const std::string_view line : split(lines, '\n')) {
    boost::system::error_code ec;
    const json::value v = json::parse(line, ec);
    if (ec || !v.is_object()) continue;
    const json::value* event = v.get_object().if_contains("event");
    if (!event || !event->is_object()) continue;
    all.push_back({json_integer<std::uint64_t>(v.get_object(), "at"),
                   agent::event_from_json(event->get_object())});
  }
  return all;
}

}  // namespace remora::run

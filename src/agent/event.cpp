#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <remora/agent/event.hpp>
#include <remora/core/text.hpp>

#include "bounds.hpp"
#include "json_line.hpp"

namespace remora::agent {
namespace json = boost::json;
namespace {

constexpr std::array kinds = {"rate_limited", "overloaded", "auth", "context",
                              "network",      "refused",    "other"};
constexpr std::array statuses = {"pending", "in_progress", "done", "dropped"};

json::object typed(std::string_view type) {
  return {{"type", json::string_view(type)}};
}

struct writer {
  json::object operator()(const session_started& e) const {
    json::object o = typed("session_started");
    o["session_id"] = to_utf8(e.session_id);
    o["model"] = to_utf8(e.model);
    o["cwd"] = to_utf8(e.cwd);
    return o;
  }
  json::object operator()(const prompt_started&) const { return typed("prompt_started"); }
  json::object operator()(const turn_started&) const { return typed("turn_started"); }
  json::object operator()(const message& e) const { return spoken("message", e.text, e.delta); }
  json::object operator()(const reasoning& e) const { return spoken("reasoning", e.text, e.delta); }
  json::object operator()(const tool_call& e) const {
    json::object o = typed("tool_call");
    o["id"] = to_utf8(e.id);
    o["name"] = to_utf8(e.name);
    o["input"] = keep(e.input);
    o["mutates"] = e.mutates;
    return o;
  }
  json::object operator()(const tool_result& e) const {
    json::object o = typed("tool_result");
    o["id"] = to_utf8(e.id);
    o["ok"] = e.ok;
    o["text"] = to_utf8(e.text);
    return o;
  }
  json::object operator()(const plan& e) const {
    json::object o = typed("plan");
    json::array items;
    for (const plan_item& item : e.items)
      items.push_back(
          {{"text", to_utf8(item.text)}, {"status", json::string_view(name(item.status))}});
    o["items"] = std::move(items);
    return o;
  }
  json::object operator()(const file_change& e) const {
    json::object o = typed("file_change");
    path_to_json(o, "path", e.path);
    o["kind"] = to_utf8(e.kind);
    o["applied"] = e.applied;
    if (e.content) o["content"] = to_utf8(*e.content);
    return o;
  }
  json::object operator()(const note& e) const {
    json::object o = typed("note");
    o["text"] = to_utf8(e.text);
    return o;
  }
  json::object operator()(const usage& e) const {
    json::object o = typed("usage");
    o["input_tokens"] = e.input_tokens;
    o["output_tokens"] = e.output_tokens;
    o["cached_tokens"] = e.cached_tokens;
    o["reasoning_tokens"] = e.reasoning_tokens;
    o["cost_usd"] = e.cost_usd;
    o["estimated"] = e.estimated;
    return o;
  }
  json::object operator()(const agent_error& e) const {
    json::object o = typed("error");
    o["kind"] = json::string_view(name(e.kind));
    o["transient"] = e.transient;
    if (e.retry_at) o["retry_at"] = to_utf8(*e.retry_at);
    o["text"] = to_utf8(e.text);
    return o;
  }
  json::object operator()(const turn_ended&) const { return typed("turn_ended"); }
  json::object operator()(const prompt_ended&) const { return typed("prompt_ended"); }
  json::object operator()(const finished& e) const {
    json::object o = typed("finished");
    o["ok"] = e.ok;
    o["text"] = to_utf8(e.text);
    return o;
  }
  json::object operator()(const unknown& e) const {
    json::object o = typed("unknown");
    o["raw"] = to_utf8(e.raw);
    return o;
  }

 private:
  static json::object spoken(std::string_view type, const std::string& text, bool delta) {
    json::object o = typed(type);
    o["text"] = to_utf8(text);
    if (delta) o["delta"] = true;
    return o;
  }
};

std::string string_of(const json::object& o, std::string_view key) {
  return std::string(text_of(o, key));
}

template <std::size_t N>
std::size_t index_of(const std::array<const char*, N>& names, std::string_view name,
                     std::size_t otherwise) {
  for (std::size_t i = 0; i < N; ++i)
    if (name == names[i]) return i;
  return otherwise;
}

plan read_plan(const json::object& o) {
  plan p;
  const json::array* items = array_of(o, "items");
  if (!items) return p;
  for (const json::value& v : *items) {
    const json::object* item = v.if_object();
    if (!item) continue;
    p.items.push_back({string_of(*item, "text"),
                       static_cast<plan_status>(index_of(statuses, text_of(*item, "status"), 0))});
  }
  return p;
}

file_change read_file_change(const json::object& o) {
  file_change f{path_from_json(o, "path"), string_of(o, "kind"), flag_of(o, "applied", true), {}};
  if (f.kind.empty()) f.kind = "modify";
  if (const auto* content = o.if_contains("content"); content && content->is_string())
    f.content = string_of(o, "content");
  return f;
}

usage read_usage(const json::object& o) {
  usage u;
  u.input_tokens = count_of(o, "input_tokens");
  u.output_tokens = count_of(o, "output_tokens");
  u.cached_tokens = count_of(o, "cached_tokens");
  u.reasoning_tokens = count_of(o, "reasoning_tokens");
  u.cost_usd = std::max(0.0, number_of(o, "cost_usd").value_or(0));
  u.estimated = flag_of(o, "estimated", false);
  return u;
}

agent_error read_error(const json::object& o) {
  const std::size_t other = kinds.size() - 1;
  agent_error e{static_cast<error_kind>(index_of(kinds, text_of(o, "kind"), other)),
                flag_of(o, "transient", false),
                {},
                string_of(o, "text")};
  if (const std::string_view at = text_of(o, "retry_at"); !at.empty()) e.retry_at = at;
  return e;
}

tool_call read_tool_call(const json::object& o) {
  tool_call c{string_of(o, "id"), string_of(o, "name"), {}, flag_of(o, "mutates", true)};
  if (const json::value* input = o.if_contains("input")) c.input = keep(*input);
  return c;
}

unknown read_unknown(const json::object& o) {
  const json::value* raw = o.if_contains("raw");
  if (text_of(o, "type") == "unknown" && raw && raw->is_string()) return {string_of(o, "raw")};
  return {json::serialize(o)};
}

}  // namespace

void add(usage& sum, const usage& more) {
  bounds::add(sum.input_tokens, more.input_tokens);
  bounds::add(sum.output_tokens, more.output_tokens);
  bounds::add(sum.cached_tokens, more.cached_tokens);
  bounds::add(sum.reasoning_tokens, more.reasoning_tokens);
  // A comparison with NaN is false; more than the limit is no cost but an error of the agent's.
  if (more.cost_usd > 0 && sum.cost_usd + more.cost_usd <= bounds::cost_usd)
    sum.cost_usd = bounds::cost(sum.cost_usd + more.cost_usd);
  sum.estimated = sum.estimated || more.estimated;
}

json::object to_json(const event& e) {
  return std::visit(writer{}, e);
}

event event_from_json(const json::object& o) {
  const std::string_view type = text_of(o, "type");
  const auto text = [&] { return string_of(o, "text"); };
  const auto delta = [&] { return flag_of(o, "delta", false); };
  if (type == "message") return message{text(), delta()};
  if (type == "reasoning") return reasoning{text(), delta()};
  if (type == "tool_call") return read_tool_call(o);
  if (type == "tool_result") return tool_result{string_of(o, "id"), flag_of(o, "ok", true), text()};
  if (type == "turn_started") return turn_started{};
  if (type == "turn_ended") return turn_ended{};
  if (type == "prompt_started") return prompt_started{};
  if (type == "prompt_ended") return prompt_ended{};
  if (type == "plan") return read_plan(o);
  if (type == "file_change") return read_file_change(o);
  if (type == "note") return note{text()};
  if (type == "usage") return read_usage(o);
  if (type == "error") return read_error(o);
  if (type == "finished") return finished{flag_of(o, "ok", true), text()};
  if (type == "session_started")
    return session_started{string_of(o, "session_id"), string_of(o, "model"), string_of(o, "cwd")};
  return read_unknown(o);
}

std::string_view name(error_kind k) {
  return kinds[static_cast<std::size_t>(k)];
}

std::string_view name(plan_status s) {
  return statuses[static_cast<std::size_t>(s)];
}

}  // namespace remora::agent

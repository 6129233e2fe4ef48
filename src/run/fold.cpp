#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/text.hpp>
#include <remora/run/fold.hpp>
#include <unordered_map>

namespace remora::run {
namespace {

namespace json = boost::json;

git::oid id(const json::object& o, std::string_view key) {
  const auto parsed = git::oid::parse(json_text(o, key));
  return parsed ? *parsed : git::oid();
}

checkpoint_mark mark(const json::object& o) {
  return {checkpoint_no(json_integer<std::uint32_t>(o, "checkpoint")),
          id(o, "record"),
          id(o, "commit"),
          id(o, "old"),
          json_text(o, "reason"),
          json_integer<std::uint64_t>(o, "packed"),
          json_flag(o, "thins")};
}

/// What the live table says of an agent event.
std::string headline(const json::object& e) {
  const std::string type = json_text(e, "type");
  if (type == "tool_call") return "tool " + json_text(e, "name");
  if (type == "message" || type == "reasoning" || type == "note")
    return one_line(json_text(e, "text"), 60);
  if (type == "error") return "error: " + one_line(json_text(e, "text"), 60);
  return {};
}

using handler = void (*)(task_fold&, const record&);

void started(task_fold& t, const record& r) {
  t.ended.clear();  // of an earlier life, in which it did not begin
  t.base = id(r.payload, "base");
}
void phase(task_fold& t, const record& r) {
  t.phase = json_text(r.payload, "phase");
  t.since = r.t;
}
void slot_lent(task_fold& t, const record& r) {
  t.slot = json_text(r.payload, "slot");
  t.slot_boot = r.boot;
  t.quarantined = false;
  t.slot_used = json_flag(r.payload, "in_place");
}
void slot_freed(task_fold& t, const record&) {
  t.slot.clear();
}
void slot_quarantined(task_fold& t, const record&) {
  t.quarantined = true;
}
void attempt_started(task_fold& t, const record& r) {
  t.slot_used = true;
  t.attempts.push_back({attempt_no(json_integer<std::uint32_t>(r.payload, "attempt")),
                        json_text(r.payload, "agent"),
                        r.t,
                        {},
                        {},
                        {},
                        {},
                        false});
}
void attempt_ended(task_fold& t, const record& r) {
  if (!t.attempt_is_open()) return;
  attempt_fold& a = t.attempts.back();
  a.ended = r.t;
  a.verdict = json_text(r.payload, "verdict");
  a.detail = json_text(r.payload, "detail");
  a.text = json_text(r.payload, "text");
  a.counted = json_flag(r.payload, "counted");
  t.agents_passed = json_integer<std::uint32_t>(r.payload, "agents_passed");
}
void agent_event(task_fold& t, const record& r) {
  const json::value* e = r.payload.if_contains("event");
  if (!e || !e->is_object()) return;
  if (json_text(e->get_object(), "type") == "usage") {
    const agent::event event = agent::event_from_json(e->get_object());
    if (const auto* more = std::get_if<agent::usage>(&event)) agent::add(t.used, *more);
  }
  if (std::string line = headline(e->get_object()); !line.empty()) t.last_event = std::move(line);
}
void prepared(task_fold& t, const record& r) {
  t.prepared = mark(r.payload);
}
void saved(task_fold& t, const record& r) {
  t.saved = mark(r.payload);
  t.records.push_back(t.saved->record);
  t.chain_bytes = t.saved->chain_bytes(t.chain_bytes);
  t.prepared.reset();
  ++t.checkpoints;
}
void published(task_fold& t, const record& r) {
  t.published = id(r.payload, "commit");
  t.published_whole = json_flag(r.payload, "whole");
}
void ended(task_fold& t, const record& r) {
  t.ended = r.payload;
  t.phase = "ended";
  t.since = r.t;
}
void resumed(task_fold& t, const record& r) {
  t.ended.clear();
  t.phase = "queued";
  t.since = r.t;
}

const std::unordered_map<std::string_view, handler>& handlers() {
  static const std::unordered_map<std::string_view, handler> table{
      {"task_started", started},
      {"task_phase", phase},
      {"slot_lent", slot_lent},
      {"slot_freed", slot_freed},
      {"slot_quarantined", slot_quarantined},
      {"attempt_started", attempt_started},
      {"attempt_ended", attempt_ended},
      {"agent_event", agent_event},
      {"checkpoint_prepared", prepared},
      {"checkpoint_saved", saved},
      {"result_published", published},
      {"task_ended", ended},
      {"task_resumed", resumed},
  };
  return table;
}

/// None where the record is not as ours are: whoever needs the plan reads it with its own errors.
const json::array& planned_tasks(const json::object& started) {
  static const json::array none;
  const json::value* plan = started.if_contains("plan");
  const json::value* tasks =
      plan && plan->is_object() ? plan->get_object().if_contains("tasks") : nullptr;
  return tasks && tasks->is_array() ? tasks->get_array() : none;
}

}  // namespace

bool task_fold::is_done() const {
  return has_ended() && outcome() != "interrupted";
}

bool task_fold::result_is_due() const {
  return published.is_zero() && saved && !prepared && !attempts.empty() &&
         !attempts.back().ended.empty() && attempts.back().verdict == "completed" &&
         attempts.back().detail != "not_saved";
}

std::string task_fold::outcome() const {
  return json_text(ended, "outcome");
}

std::uint32_t task_fold::counted() const {
  return static_cast<std::uint32_t>(std::ranges::count(attempts, true, &attempt_fold::counted));
}

std::size_t run_fold::waiting() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      tasks, [](const auto& t) { return t.second.base.is_zero() && !t.second.has_ended(); }));
}

void run_fold::apply(const record& r) {
  last = r.seq;
  if (r.type == "run_started") {
    run = json_text(r.payload, "run");
    started = r.payload;
    started_at = r.t;
    for (const json::value& t : planned_tasks(r.payload)) {
      if (!t.is_object()) continue;
      order.push_back(json_text(t.get_object(), "id"));
      tasks[order.back()].id = order.back();
      tasks[order.back()].since = r.t;
    }
    return;
  }
  if (r.type == "run_ended") ended = r.payload;
  if (r.type == "run_resumed") {
    ended.clear();
    if (const json::value* set = r.payload.if_contains("set"); set && set->is_array())
      for (const json::value& one : set->get_array())
        if (one.is_string()) settings.emplace_back(one.get_string());
  }
  if (r.type == "warning") warnings.push_back(json_text(r.payload, "text"));
  const auto handle = handlers().find(r.type);
  const auto task = tasks.find(json_text(r.payload, "task"));
  if (handle != handlers().end() && task != tasks.end()) handle->second(task->second, r);
}

run_fold fold_records(std::span<const record> records) {
  run_fold fold;
  for (const record& r : records) fold.apply(r);
  return fold;
}

}  // namespace remora::run

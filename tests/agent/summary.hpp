// Events as short lines, to compare whole runs by.
#pragma once

#include <fmt/format.h>

#include <remora/agent/adapter.hpp>
#include <remora/core/text.hpp>
#include <string>
#include <vector>

namespace remora::agent {

struct summary_line {
  std::string operator()(const session_started& e) const {
    return fmt::format("session_started {} {}", e.model, e.cwd);
  }
  std::string operator()(const prompt_started&) const { return "prompt_started"; }
  std::string operator()(const turn_started&) const { return "turn_started"; }
  std::string operator()(const message& e) const { return spoken("message", e.text, e.delta); }
  std::string operator()(const reasoning& e) const { return spoken("reasoning", e.text, e.delta); }
  std::string operator()(const tool_call& e) const {
    return fmt::format("tool_call {}{}", e.name, e.mutates ? " mutates" : "");
  }
  std::string operator()(const tool_result& e) const {
    return fmt::format("tool_result {} {}", e.ok ? "ok" : "failed", one_line(e.text, 40));
  }
  std::string operator()(const plan& e) const {
    std::string line = "plan";
    for (const plan_item& item : e.items)
      line += fmt::format(" [{}] {}", name(item.status), item.text);
    return line;
  }
  std::string operator()(const file_change& e) const {
    return fmt::format("file_change {} {} {}", e.applied ? "applied" : "proposed", e.kind, e.path);
  }
  std::string operator()(const note& e) const { return "note " + one_line(e.text, 40); }
  std::string operator()(const usage& e) const {
    return fmt::format("usage {}+{} cached {} cost {:.5f}{}", e.input_tokens, e.output_tokens,
                       e.cached_tokens, e.cost_usd, e.estimated ? " estimated" : "");
  }
  std::string operator()(const agent_error& e) const {
    return fmt::format("error {}{} {}", name(e.kind), e.transient ? " transient" : "",
                       one_line(e.text, 60));
  }
  std::string operator()(const turn_ended&) const { return "turn_ended"; }
  std::string operator()(const prompt_ended&) const { return "prompt_ended"; }
  std::string operator()(const finished& e) const {
    return fmt::format("finished {} {}", e.ok ? "ok" : "failed", one_line(e.text, 40));
  }
  std::string operator()(const unknown& e) const { return "unknown " + one_line(e.raw, 40); }

 private:
  static std::string spoken(std::string_view type, const std::string& text, bool delta) {
    return fmt::format("{}{} {}", type, delta ? " delta" : "", one_line(text, 40));
  }
};

inline std::string summary(const std::vector<event>& events) {
  std::string lines;
  for (const event& e : events) lines += std::visit(summary_line{}, e) + "\n";
  return lines;
}

inline std::string summary(const outcome& o) {
  return fmt::format("outcome {}{{{}}} {}\n", name(o.verdict), o.detail, one_line(o.text, 60));
}

/// All lines of `out`, then of `err`, then the end.
struct played {
  std::vector<event> events;
  agent::outcome outcome;

  template <class Event>
  std::size_t count() const {
    std::size_t n = 0;
    for (const event& e : events) n += std::holds_alternative<Event>(e) ? 1 : 0;
    return n;
  }
  /// The first of its kind. The caller has counted them.
  template <class Event>
  const Event& first() const {
    for (const event& e : events)
      if (const auto* found = std::get_if<Event>(&e)) return *found;
    throw std::logic_error("there is no such event");
  }
};

inline played play(std::string_view adapter, std::string_view out, std::string_view err,
                   const exit_status& status) {
  const auto p = find_adapter(adapter).value()->make_parser();
  played run;
  for (const std::string_view line : split(out, '\n'))
    if (!line.empty()) p->out_line(line, run.events);
  for (const std::string_view line : split(err, '\n'))
    if (!line.empty()) p->err_line(line, run.events);
  run.outcome = p->conclude(status, run.events);
  return run;
}

}  // namespace remora::agent

// Neutral events: what every adapter turns its agent's output into (docs/events.md). Plain values.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <remora/core/result.hpp>
#include <string>
#include <variant>
#include <vector>

namespace remora::agent {

struct session_started {
  std::string session_id, model, cwd;
};
struct prompt_started {};
struct turn_started {};
struct message {
  std::string text;
  bool delta = false;
};
struct reasoning {
  std::string text;
  bool delta = false;
};
struct tool_call {
  std::string id, name;
  boost::json::value input;
  bool mutates = true;
};
struct tool_result {
  std::string id;
  bool ok = true;
  std::string text;
};

enum class plan_status { pending, in_progress, done, dropped };
struct plan_item {
  std::string text;
  plan_status status = plan_status::pending;
};
struct plan {
  std::vector<plan_item> items;
};

struct file_change {
  std::string path;
  std::string kind;
  bool applied = true;
  std::optional<std::string> content;
};
struct note {
  std::string text;
};

/// Increments, never totals.
struct usage {
  std::uint64_t input_tokens = 0, output_tokens = 0, cached_tokens = 0, reasoning_tokens = 0;
  double cost_usd = 0;
  bool estimated = false;
};
/// Saturates. A cost above a million dollars is none, but an error of the agent's.
void add(usage& sum, const usage& more);

enum class error_kind { rate_limited, overloaded, auth, context, network, refused, other };
struct agent_error {
  error_kind kind = error_kind::other;
  bool transient = false;               ///< the CLI goes on by itself
  std::optional<std::string> retry_at;  ///< RFC 3339
  std::string text;
};
struct turn_ended {};
struct prompt_ended {};
struct finished {
  bool ok = true;
  std::string text;
};
/// A line or type that the adapter does not know: kept, counted, never fatal.
struct unknown {
  std::string raw;
};

using event = std::variant<session_started, prompt_started, turn_started, message, reasoning,
                           tool_call, tool_result, plan, file_change, note, usage, agent_error,
                           turn_ended, prompt_ended, finished, unknown>;

/// One JSON object, as docs/events.md has it. Invalid UTF-8 is replaced.
boost::json::object to_json(const event& e);
/// Unknown fields are ignored; an unknown or missing `type` gives `unknown`. Never fails.
event event_from_json(const boost::json::object& o);

std::string_view name(error_kind k);
std::string_view name(plan_status s);

}  // namespace remora::agent

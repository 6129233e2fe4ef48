// Claude Code, written against captures of 2.1.197: `-p --input-format stream-json
// --output-format stream-json --verbose`.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <deque>
#include <remora/core/text.hpp>

#include "builtin.hpp"
#include "stream_json.hpp"

namespace remora::agent {
namespace json = boost::json;
namespace {

// Task and Agent start a subagent, whose own calls are told one by one.
constexpr std::array<std::string_view, 26> read_only = {"Read",
                                                        "Grep",
                                                        "Glob",
                                                        "LS",
                                                        "NotebookRead",
                                                        "TodoWrite",
                                                        "TodoRead",
                                                        "WebFetch",
                                                        "WebSearch",
                                                        "Task",
                                                        "Agent",
                                                        "TaskCreate",
                                                        "TaskUpdate",
                                                        "TaskList",
                                                        "TaskGet",
                                                        "TaskOutput",
                                                        "TaskStop",
                                                        "BashOutput",
                                                        "ToolSearch",
                                                        "EnterPlanMode",
                                                        "ExitPlanMode",
                                                        "AskUserQuestion",
                                                        "ListMcpResourcesTool",
                                                        "ReadMcpResourceTool",
                                                        "web_search",
                                                        "web_fetch"};
constexpr std::array<write_tool, 4> writers = {{{"Write", "file_path", "content"},
                                                {"Edit", "file_path", "new_string"},
                                                {"MultiEdit", "file_path", "new_string"},
                                                {"NotebookEdit", "notebook_path", "new_source"}}};
constexpr toolbox box{read_only, writers, "TodoWrite", "TaskCreate", "TaskUpdate"};

/// Lines that say nothing remora needs.
constexpr std::array<std::string_view, 8> quiet_types = {
    "control_response", "control_request", "control_cancel_request", "keep_alive",
    "tool_progress",    "auth_status",     "tool_use_summary",       "prompt_suggestion"};
constexpr std::array<std::string_view, 14> quiet_system = {
    "thinking_tokens",       "status",           "task_started",
    "task_progress",         "task_updated",     "task_notification",
    "compact_boundary",      "hook_started",     "hook_progress",
    "hook_response",         "files_persisted",  "local_command_output",
    "session_state_changed", "post_turn_summary"};

/// An hour: no CLI waits longer before it tries again.
constexpr double longest_delay_ms = 3'600'000;

bool holds(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// 0 for none.
int http_status(const json::object& o, std::string_view key) {
  const std::uint64_t status = count_of(o, key);
  return status < 1000 ? static_cast<int>(status) : 0;
}

std::uint64_t beyond(std::uint64_t total, std::uint64_t told) {
  return total > told ? total - told : 0;
}

/// The API's, without what was read from the cache. `output`: it is final in this line.
usage message_usage(const json::object& u, bool output) {
  usage out;
  out.input_tokens = count_of(u, "input_tokens") + count_of(u, "cache_creation_input_tokens");
  out.cached_tokens = count_of(u, "cache_read_input_tokens");
  if (output) out.output_tokens = count_of(u, "output_tokens");
  return out;
}

/// Turns totals, of an answer or of the process, into increments.
class usage_meter {
 public:
  /// An answer's usage as far as it is known.
  void answer(std::string_view id, const usage& so_far, std::vector<event>& events) {
    auto at =
        std::ranges::find(answers_, id, [](const auto& a) { return std::string_view(a.first); });
    if (at == answers_.end()) {
      if (answers_.size() == recent) answers_.pop_front();
      at = answers_.insert(answers_.end(), {std::string(id), usage{}});
    }
    add(at->second, tell(so_far, at->second, events));
  }
  /// The process's, at a prompt's end.
  void total(const usage& all, std::vector<event>& events) { tell(all, told_, events); }
  const usage& told() const noexcept { return told_; }

 private:
  /// Subagents run side by side, so several answers are open at a time.
  static constexpr std::size_t recent = 64;

  usage tell(const usage& total, usage before, std::vector<event>& events) {
    usage more;
    more.input_tokens = beyond(total.input_tokens, before.input_tokens);
    more.output_tokens = beyond(total.output_tokens, before.output_tokens);
    more.cached_tokens = beyond(total.cached_tokens, before.cached_tokens);
    const double cost = total.cost_usd - before.cost_usd;
    more.cost_usd = cost > 1e-9 ? cost : 0;  // below it is rounding
    if (more.input_tokens + more.output_tokens + more.cached_tokens > 0 || more.cost_usd > 0)
      events.emplace_back(more);
    add(told_, more);
    return more;
  }

  usage told_;
  std::deque<std::pair<std::string, usage>> answers_;
};

class claude_parser final : public stream_json {
 public:
  claude_parser() : stream_json(box, true) {}

 private:
  bool other_line(std::string_view type, const json::object& o,
                  std::vector<event>& events) override {
    if (type == "rate_limit_event") {
      note_rate_limit(o);
      return true;
    }
    if (type != "system") return holds(quiet_types, type);
    const std::string_view subtype = text_of(o, "subtype");
    // An answer begins with its thoughts: these lines come before its first block.
    if (subtype == "api_retry" || subtype == "thinking_tokens" || subtype == "status")
      expect_answer(events);
    if (subtype != "api_retry") return holds(quiet_system, subtype);
    events.emplace_back(retry(o));
    return true;
  }

  static agent_error retry(const json::object& o) {
    const int status = http_status(o, "error_status");
    const std::string_view name = text_of(o, "error");
    agent_error e;
    e.kind = classify_error(status, name);
    // No status: there was no answer at all.
    if (status == 0 && e.kind == error_kind::other) e.kind = error_kind::network;
    e.transient = true;
    const double delay = number_of(o, "retry_delay_ms").value_or(0);
    if (delay > 0)
      e.retry_at = iso8601(
          machine_clock().wall() +
          std::chrono::milliseconds(static_cast<std::int64_t>(std::min(delay, longest_delay_ms))));
    e.text = fmt::format("{}{}, retry {} of {}", name, status ? fmt::format(" ({})", status) : "",
                         count_of(o, "attempt"), count_of(o, "max_retries"));
    return e;
  }

  void note_rate_limit(const json::object& o) {
    const json::object* info = object_of(o, "rate_limit_info");
    if (!info || text_of(*info, "status").starts_with("allowed")) return;
    resets_at_ = epoch_time(number_of(*info, "resetsAt").value_or(0));
  }

  bool is_error_line(const json::object& o, const json::object& message) override {
    const std::string_view name = text_of(o, "error");
    if (name.empty()) return false;
    pending_ = make_error(0, name, content_text(message.if_contains("content")));
    return true;
  }

  void meter(const json::object& message, bool own, std::vector<event>& events) override {
    const json::object* u = object_of(message, "usage");
    const std::string_view id = text_of(message, "id");
    if (!u || id.empty()) return;
    // output_tokens of a block is stale until the answer has stopped (FORMATS: it is 1).
    const bool final = !text_of(message, "stop_reason").empty();
    meter_.answer(id, message_usage(*u, final), events);
    if (own && final) unmetered_bytes_ = 0;
  }

  /// Only message_stop tells: tools run, and have results, while their answer is still coming.
  bool ends_answer(const json::object&) const override { return false; }

  void note_stream_event(std::string_view type, const json::object& inner,
                         std::vector<event>& events) override {
    if (type == "message_start") {
      const json::object* message = object_of(inner, "message");
      streamed_id_ = message ? text_of(*message, "id") : std::string_view();
    }
    const json::object* u = type == "message_delta" ? object_of(inner, "usage") : nullptr;
    if (!u || streamed_id_.empty()) return;
    meter_.answer(streamed_id_, message_usage(*u, true), events);
    unmetered_bytes_ = 0;
  }

  prompt_result read_result(const json::object& o, std::vector<event>& events) override {
    total_usage(o, events);
    prompt_result r;
    r.text = result_text(o);
    const std::string_view subtype = text_of(o, "subtype");
    const std::string_view ended = text_of(o, "terminal_reason");
    if (subtype == "error_max_turns" || ended == "max_turns") r.budget = "turns";
    if (subtype == "error_max_budget_usd") r.budget = "cost";
    const bool refused = text_of(o, "stop_reason") == "refusal";
    r.ok = r.budget.empty() && !refused && !flag_of(o, "is_error", false) &&
           (subtype.empty() || subtype == "success");
    if (!r.ok && r.budget.empty()) {
      const int status = http_status(o, "api_error_status");
      r.error = make_error(status, pending_ ? pending_name_ : std::string_view(), r.text);
      if (ended == "prompt_too_long") r.error->kind = error_kind::context;
      if (refused) r.error->kind = error_kind::refused;
    }
    pending_.reset();
    return r;
  }

  static std::string result_text(const json::object& o) {
    std::string text(text_of(o, "result"));
    const json::array* errors = array_of(o, "errors");
    if (!text.empty() || !errors) return text;
    for (const json::value& e : *errors) {
      if (!text.empty()) text += '\n';
      text += content_text(&e);
    }
    return text;
  }

  /// `modelUsage` and `total_cost_usd` count from the start of the process, `usage` from the start
  /// of the prompt and without what was lost with a dropped stream.
  void total_usage(const json::object& o, std::vector<event>& events) {
    usage all;
    if (const json::object* models = object_of(o, "modelUsage"); models && !models->empty()) {
      for (const auto& [model, v] : *models) {
        const json::object* u = v.if_object();
        if (!u) continue;
        all.input_tokens += count_of(*u, "inputTokens") + count_of(*u, "cacheCreationInputTokens");
        all.output_tokens += count_of(*u, "outputTokens");
        all.cached_tokens += count_of(*u, "cacheReadInputTokens");
      }
    } else {
      all = before_prompt_;
      if (const json::object* u = object_of(o, "usage")) add(all, message_usage(*u, true));
    }
    all.cost_usd = number_of(o, "total_cost_usd").value_or(0);
    meter_.total(all, events);
    before_prompt_ = meter_.told();
  }

  agent_error make_error(int status, std::string_view name, std::string text) {
    agent_error e;
    e.kind = classify_error(status, text);
    pending_name_ = name;
    // `server_error` is also what it calls a refused connection: its name comes last.
    if (e.kind == error_kind::other) e.kind = classify_error(0, name);
    if (e.kind == error_kind::other && name == "server_error") e.kind = error_kind::overloaded;
    if (e.kind == error_kind::rate_limited) {
      e.retry_at = retry_time(text, machine_clock().wall());
      if (!e.retry_at) e.retry_at = resets_at_;
    }
    e.text = std::move(text);
    return e;
  }

  void before_end(std::vector<event>& events) override {
    if (pending_) events.emplace_back(*pending_);
    if (unmetered_bytes_ == 0) return;
    usage u;
    u.output_tokens = (unmetered_bytes_ + 3) / 4;
    u.estimated = true;
    events.emplace_back(u);
  }

  std::optional<outcome> of_exit(const exit_status& status, std::string_view) const override {
    if (pending_) return outcome_of(*pending_, status);
    return std::nullopt;
  }

  usage_meter meter_;
  usage before_prompt_;
  std::string streamed_id_;
  std::optional<agent_error> pending_;  ///< shown, and not yet told by a result
  std::string pending_name_;
  std::optional<std::string> resets_at_;
};

class claude_adapter final : public adapter {
 public:
  std::string_view name() const override { return "claude"; }
  std::string_view default_command() const override { return "claude"; }
  int first_signal() const override { return SIGTERM; }
  std::chrono::milliseconds first_output_limit() const override { return std::chrono::minutes(3); }
  bool resumes_sessions() const override { return true; }
  std::unique_ptr<agent::parser> make_parser() const override {
    return std::make_unique<claude_parser>();
  }

  /// It hears of it with the next result of a tool.
  std::string message_line(std::string_view text) const override {
    return user_line(json::array{{{"type", "text"}, {"text", to_utf8(text)}}});
  }

  agent::launch plan_launch(const agent_config& config, const launch_request& r) const override {
    agent::launch l = start_of(*this, config);
    append(l.argv,
           {"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"});
    if (config.permissions == permissions::full) {
      l.argv.emplace_back("--dangerously-skip-permissions");
      // As root it refuses the flag, unless it is told that this is a sandbox.
      if (geteuid() == 0) l.environment.emplace_back("IS_SANDBOX", "1");
    }
    if (!r.session_id.empty()) append(l.argv, {"--resume", r.session_id});
    append(l.argv, config.args);
    for (const char* off : {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_AUTOUPDATER",
                            "DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING"})
      l.environment.emplace_back(off, "1");
    // Its plan as one TodoWrite call, not as task numbers.
    l.environment.emplace_back("CLAUDE_CODE_ENABLE_TASKS", "0");
    append(l.pass_env, {"ANTHROPIC_*", "CLAUDE_*"});
    append(l.pass_env, config.pass_env);
    l.stdin_bytes = message_line(r.prompt);
    l.keep_stdin_open = true;  // end of file would end it before it takes a further prompt
    return l;
  }
};

}  // namespace

const adapter& claude() {
  static const claude_adapter instance;
  return instance;
}

}  // namespace remora::agent

// Qwen Code, written against captures of 0.15.10: `-o stream-json --input-format stream-json`.
// It says `success` and exits 0 after every API error; the error is text: `[API Error: …]`.
#include <fmt/format.h>
#include <signal.h>

#include <array>
#include <remora/core/text.hpp>

#include "builtin.hpp"
#include "stream_json.hpp"

namespace remora::agent {
namespace json = boost::json;
namespace {

constexpr std::array<std::string_view, 18> read_only = {"read_file",
                                                        "read_many_files",
                                                        "list_directory",
                                                        "grep_search",
                                                        "search_file_content",
                                                        "glob",
                                                        "todo_write",
                                                        "web_fetch",
                                                        "web_search",
                                                        "tool_search",
                                                        "skill",
                                                        "agent",
                                                        "task",
                                                        "task_stop",
                                                        "send_message",
                                                        "exit_plan_mode",
                                                        "ask_user_question",
                                                        "save_memory"};
constexpr std::array<write_tool, 3> writers = {{{"write_file", "file_path", "content"},
                                                {"edit", "file_path", "new_string"},
                                                {"replace", "file_path", "new_string"}}};
constexpr toolbox box{read_only, writers, "todo_write", {}, {}};

// FatalAuthenticationError and FatalTurnLimitedError of its source; the captures have the second.
constexpr int exit_auth = 41;
constexpr int exit_turns = 53;

constexpr std::string_view mark = "[API Error:";

/// Where the error begins that `text` consists of or, if `at_end`, ends with; else npos.
std::size_t api_error_at(std::string_view text, bool at_end) {
  if (!trim(text).ends_with(']')) return text.npos;
  if (text.starts_with(mark)) return 0;
  return at_end ? text.rfind(mark) : text.npos;
}

/// Its input_tokens hold the cached ones.
usage read_usage(const json::object& u) {
  usage out;
  out.cached_tokens = count_of(u, "cache_read_input_tokens");
  const std::uint64_t input = count_of(u, "input_tokens");
  out.input_tokens = input > out.cached_tokens ? input - out.cached_tokens : 0;
  out.output_tokens = count_of(u, "output_tokens");
  return out;
}

bool is_zero(const usage& u) {
  return u.input_tokens + u.output_tokens + u.cached_tokens == 0;
}

class qwen_parser final : public stream_json {
 public:
  qwen_parser() : stream_json(box, false) {}

 private:
  bool other_line(std::string_view type, const json::object&, std::vector<event>&) override {
    return type.starts_with("control_");
  }

  bool is_error_line(const json::object&, const json::object& message) override {
    const json::object* u = object_of(message, "usage");
    // Each answer's last block tells its usage, but one that was cut off by an error.
    unmetered_ = !u || is_zero(read_usage(*u));
    const json::array* blocks = array_of(message, "content");
    return blocks && blocks->size() == 1 &&
           api_error_at(content_text(message.if_contains("content")), unmetered_) == 0;
  }

  std::string_view spoken(std::string_view text) const override {
    return text.substr(0, api_error_at(text, unmetered_));
  }

  void meter(const json::object& message, bool own, std::vector<event>& events) override {
    const json::object* u = object_of(message, "usage");
    const usage told = u ? read_usage(*u) : usage{};
    if (is_zero(told)) return;
    metered_ = true;
    if (own) unmetered_bytes_ = 0;
    events.emplace_back(told);
  }

  bool ends_answer(const json::object& message) const override {
    return !unmetered_ || !text_of(message, "stop_reason").empty();
  }

  void note_stream_event(std::string_view, const json::object&, std::vector<event>&) override {}

  prompt_result read_result(const json::object& o, std::vector<event>& events) override {
    // Its usage is that of the blocks, again; only a version that tells none there needs it.
    if (const json::object* u = object_of(o, "usage"); u && !metered_)
      if (const usage told = read_usage(*u); !is_zero(told)) events.emplace_back(told);

    prompt_result r;
    r.text = text_of(o, "result");
    const json::object* said = object_of(o, "error");
    if (r.text.empty() && said) r.text = text_of(*said, "message");
    const std::string_view subtype = text_of(o, "subtype");
    const bool failed = flag_of(o, "is_error", false) || !(subtype.empty() || subtype == "success");
    const std::size_t at = api_error_at(r.text, unmetered_);
    if (failed || at != r.text.npos)
      r.error = make_error(at == r.text.npos ? r.text : r.text.substr(at));
    r.ok = !r.error;
    if (subtype == "error_max_turns") r.budget = "turns";
    return r;
  }

  static agent_error make_error(std::string text) {
    std::string_view inner = text;
    if (inner.starts_with(mark)) inner = trim(inner.substr(mark.size()));
    agent_error e;
    e.kind = classify_error(0, inner);
    if (e.kind == error_kind::rate_limited) e.retry_at = retry_time(text, machine_clock().wall());
    e.text = std::move(text);
    return e;
  }

  void before_end(std::vector<event>& events) override {
    if (unmetered_bytes_ == 0) return;
    usage u;
    u.output_tokens = (unmetered_bytes_ + 3) / 4;
    u.estimated = true;
    events.emplace_back(u);
  }

  std::optional<outcome> of_exit(const exit_status& status, std::string_view err) const override {
    if (status.code == exit_turns) return make_outcome(verdict::budget, "turns", err);
    if (status.code == exit_auth) return make_outcome(verdict::auth_failed, {}, err);
    return std::nullopt;
  }

  bool unmetered_ = true;  ///< the agent's last line told no usage
  bool metered_ = false;
};

/// It cannot be spoken to: it takes a message when its prompt has ended, and an interrupt ends it
/// (0.15.10, exit status 130).
class qwen_adapter final : public adapter {
 public:
  std::string_view name() const override { return "qwen"; }
  std::string_view default_command() const override { return "qwen"; }
  int first_signal() const override { return SIGTERM; }
  /// While it retries a failed request it prints nothing, at times for minutes.
  std::chrono::milliseconds first_output_limit() const override { return std::chrono::minutes(3); }
  bool resumes_sessions() const override { return true; }
  std::unique_ptr<agent::parser> make_parser() const override {
    return std::make_unique<qwen_parser>();
  }

  agent::launch plan_launch(const agent_config& config, const launch_request& r) const override {
    agent::launch l = start_of(*this, config);
    append(l.argv, {"-o", "stream-json", "--input-format", "stream-json"});
    if (config.permissions == permissions::full) l.argv.emplace_back("--yolo");
    if (!r.session_id.empty()) append(l.argv, {"--resume", r.session_id});
    append(l.argv, config.args);
    // Else a second process does the work, and outlives a signal to the first.
    l.environment.emplace_back("QWEN_CODE_NO_RELAUNCH", "true");
    append(l.pass_env, {"OPENAI_*", "QWEN_*", "DASHSCOPE_*"});
    append(l.pass_env, config.pass_env);
    l.stdin_bytes = user_line(json::value(to_utf8(r.prompt)));
    l.keep_stdin_open = true;
    return l;
  }
};

}  // namespace

const adapter& qwen() {
  static const qwen_adapter instance;
  return instance;
}

}  // namespace remora::agent

// An adapter knows how to start one agent CLI headless and how to read its output. It starts
// nothing. Each is one file, written against captured bytes. Thread: a parser belongs to one
// attempt.
#pragma once

#include <chrono>
#include <memory>
#include <remora/agent/event.hpp>
#include <remora/agent/verdict.hpp>
#include <remora/core/exit_status.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remora::agent {

enum class permissions { full, standard };  ///< `full`, `default` in a plan

/// US dollars for a million tokens.
struct prices {
  double input = 0, output = 0;
  double cached = 0;  ///< input that came from a cache
};

/// `agents.<name>` of a plan, checked.
struct agent_config {
  std::string name;
  std::string adapter;
  std::vector<std::string> command;  ///< empty: the adapter's own
  std::vector<std::string> args;
  agent::permissions permissions = permissions::full;
  std::vector<std::string> pass_env;
  std::optional<agent::prices> prices{};
  std::string account{};  ///< empty: `run::account_of` says
};

struct launch_request {
  std::string prompt;
  std::string session_id;  ///< to resume natively; empty: a fresh session
};

/// How to start it. The environment is what the adapter adds; the run room composes the rest.
struct launch {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  /// Variables or prefixes with `*` to pass on: the adapter's (`ANTHROPIC_*`), then the config's.
  std::vector<std::string> pass_env;
  std::string stdin_bytes;
  bool keep_stdin_open = false;  ///< else end of file follows the bytes
};

/// Reads one attempt's output. Never throws for what it reads: garbage becomes `unknown` events.
class parser {
 public:
  virtual ~parser() = default;
  /// One whole line of stdout, in order. What follows the last newline at the end of the stream is
  /// passed as a line too: an object cut in half is not taken for one.
  virtual void out_line(std::string_view line, std::vector<event>& events) = 0;
  /// One whole line of stderr.
  virtual void err_line(std::string_view line, std::vector<event>& events) = 0;
  /// At the end: closes what is open (a turn, a prompt), then says what the attempt came to.
  /// `status`: how the agent's process ended.
  virtual outcome conclude(const exit_status& status, std::vector<event>& events) = 0;
  /// True once nothing more will be asked of the agent: stdin may be closed (Claude: after its
  /// first result).
  virtual bool wants_stdin_closed() const { return false; }
};

class adapter {
 public:
  virtual ~adapter() = default;
  virtual std::string_view name() const = 0;
  virtual agent::launch plan_launch(const agent_config& config,
                                    const launch_request& request) const = 0;
  virtual std::unique_ptr<agent::parser> make_parser() const = 0;
  /// The first signal that asks it to end; some clean up on INT only.
  virtual int first_signal() const = 0;
  /// Silence of this length before anything was printed is suspicious; zero: never (`text`).
  virtual std::chrono::milliseconds first_output_limit() const = 0;
  virtual bool resumes_sessions() const { return false; }
  /// What to write to its stdin to tell it `text` while it works; empty: it cannot be spoken to.
  virtual std::string message_line(std::string_view text) const {
    (void)text;
    return {};
  }
  /// Program looked for when the plan names none.
  virtual std::string_view default_command() const = 0;
};

/// All that this build has, sorted by name: claude jsonl qwen text.
std::span<const adapter* const> adapters();
/// Errors: errc::usage, naming those that exist.
result<const adapter*> find_adapter(std::string_view name);

}  // namespace remora::agent

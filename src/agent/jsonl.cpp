// A program that prints neutral events itself, one JSON object a line (docs/events.md).
#include <signal.h>

#include <remora/agent/failure.hpp>
#include <remora/core/text.hpp>

#include "brackets.hpp"
#include "builtin.hpp"
#include "json_line.hpp"
#include "tail.hpp"

namespace remora::agent {
namespace {

class jsonl_parser final : public parser {
 public:
  void out_line(std::string_view line, std::vector<event>& events) override {
    if (trim(line).empty()) return;
    const boost::json::object* o = json_.parse(line);
    event e = o ? event_from_json(*o) : event(unknown{raw_line(line)});
    if (auto* u = std::get_if<unknown>(&e)) u->raw = raw_line(line);
    if (!bracket(e, events)) events.push_back(std::move(e));
  }

  void err_line(std::string_view line, std::vector<event>&) override { err_.append(line); }

  outcome conclude(const exit_status& status, std::vector<event>& events) override {
    brackets_.close_prompt(events);
    if (status.signal) return outcome_of_exit(status, last_words());
    const bool said_ok = finished_ && finished_->ok;
    if (said_ok && status.success()) return make_outcome(verdict::completed, {}, finished_->text);
    if (error_ && !said_ok) return outcome_of(*error_, status);
    if (finished_ && status.success()) return make_outcome(verdict::failed, "0", last_words());
    return outcome_of_exit(status, last_words());
  }

 private:
  /// True if `e` was a start or an end, now told in its place; also remembers what ends it all.
  bool bracket(const event& e, std::vector<event>& events) {
    if (std::holds_alternative<prompt_started>(e)) {
      brackets_.close_prompt(events);
      brackets_.open_prompt(events);
    } else if (std::holds_alternative<turn_started>(e)) {
      brackets_.close_turn(events);
      brackets_.open_turn(events);
    } else if (std::holds_alternative<turn_ended>(e)) {
      brackets_.open_turn(events);  // its start was not told
      brackets_.close_turn(events);
    } else if (std::holds_alternative<prompt_ended>(e)) {
      brackets_.close_turn(events);
      brackets_.open_prompt(events);
      brackets_.close_prompt(events);
    } else {
      if (const auto* f = std::get_if<finished>(&e)) {
        brackets_.close_prompt(events);
        finished_ = *f;
      }
      const auto* error = std::get_if<agent_error>(&e);
      if (error && !error->transient) error_ = *error;
      return false;
    }
    return true;
  }

  std::string last_words() const {
    return finished_ && !finished_->text.empty() ? finished_->text : err_.text();
  }

  json_line json_;
  brackets brackets_;
  std::optional<finished> finished_;
  std::optional<agent_error> error_;  ///< the last one that the program did not get over
  complaint err_;
};

class jsonl_adapter final : public adapter {
 public:
  std::string_view name() const override { return "jsonl"; }
  std::string_view default_command() const override { return {}; }
  int first_signal() const override { return SIGTERM; }
  std::chrono::milliseconds first_output_limit() const override { return std::chrono::minutes(3); }
  std::unique_ptr<agent::parser> make_parser() const override {
    return std::make_unique<jsonl_parser>();
  }
  agent::launch plan_launch(const agent_config& config, const launch_request& r) const override {
    return prompt_on_stdin(*this, config, r);
  }
};

}  // namespace

const adapter& jsonl() {
  static const jsonl_adapter instance;
  return instance;
}

}  // namespace remora::agent

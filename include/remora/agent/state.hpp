// The mind: what the agent knew, had done and meant to do. A pure fold of a task's events over all
// its attempts: the same events give the same bytes (schema remora.state/1,
// docs/state.schema.json). Bounded: a 1 GB transcript gives a state under 256 KiB and constant
// memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <remora/agent/adapter.hpp>
#include <remora/agent/text_tail.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/ids.hpp>
#include <string>
#include <vector>

namespace remora::agent {

struct attempt_record {
  std::uint32_t number = 0;
  std::string agent;
  std::string adapter;
  std::string model;
  std::string session_id;
  std::string started;  ///< RFC 3339
  std::string ended;    ///< empty while it runs
  std::optional<outcome> ended_with;
  usage used;
  std::uint64_t turns = 0;
};

struct decision {
  std::string text;
  std::string source;              ///< note plan said thought
  std::vector<std::string> files;  ///< of the mutating calls it preceded
  std::uint32_t attempt = 0;
};

struct tool_use {
  std::string id, name, input, result;  ///< input and result cut to 1 KiB
  std::optional<bool> ok;               ///< nothing: unfinished, its effect is uncertain
  std::uint32_t attempt = 0;
};

struct verification {
  bool ok = false;
  std::string command;
  std::string output;  ///< the last 4 KiB
  std::uint32_t attempt = 0;
};

/// Thread: one at a time. Every text is kept printable. Paths are as the agent gave them, made
/// relative to the directory that its session started in.
class state {
 public:
  /// `prompt`: its first 16 KiB are kept; the whole of it is the plan's to know.
  state(std::string run, std::string task, std::string prompt);

  // --- the fold ---
  // An event costs what its text costs to read. None fails, and none is an error at any place.
  void begin_attempt(std::uint32_t number, const agent_config& agent, wall_time at);
  void apply(const event& e);
  void end_attempt(const outcome& o, wall_time at);
  /// The whole of $REMORA_NOTES as it is now; the last 16 KiB are kept.
  void set_notes(std::string_view text);
  void set_verification(verification v);

  /// remora.state/1, under 256 KiB; ends in a newline. Stable order, no time of its own.
  std::string to_json() const;
  /// What is read folds on as the original would have. Errors: errc::corrupt; errc::unsupported for
  /// a newer schema.
  static result<state> from_json(std::string_view text);

  // --- what prompts and people ask ---
  const std::string& task() const noexcept { return task_; }
  const std::string& task_prompt() const noexcept { return prompt_; }
  /// The newest (16 KiB of them, some 50); `total_usage` and `turns` count all.
  const std::vector<attempt_record>& attempts() const noexcept { return attempts_; }
  const std::vector<plan_item>& plan() const noexcept { return plan_; }
  /// The newest 20; notes stay longer than what was said or thought.
  const std::vector<decision>& decisions() const noexcept { return decisions_; }
  const std::vector<tool_use>& tools() const noexcept { return tools_; }  ///< the newest 20
  const std::map<std::string, std::uint64_t>& tool_counts() const noexcept { return tool_counts_; }
  /// Tails of at most 16 KiB; a blank line lies between two messages.
  const std::string& messages() const noexcept { return messages_.str(); }
  const std::string& thoughts() const noexcept { return thoughts_.str(); }
  /// The last whole message: what streams in is none before its turn, prompt or attempt ends or a
  /// tool is called. The last 16 KiB of it.
  const std::string& last_message() const noexcept { return last_message_; }
  const std::string& notes() const noexcept { return notes_; }
  /// The newest last, each once: at most 500 and 24 KiB.
  const std::vector<std::string>& files_touched() const noexcept { return files_; }
  /// Writes that were not applied, content cut to 4 KiB: the newest 20 and 12 KiB.
  const std::vector<file_change>& proposed() const noexcept { return proposed_; }
  const std::optional<verification>& last_verification() const noexcept { return verification_; }
  const std::vector<agent_error>& errors() const noexcept { return errors_; }  ///< the newest 20
  usage total_usage() const;
  std::uint64_t turns() const;
  std::uint64_t unknown_events() const noexcept { return unknown_; }
  /// Grows with every plan item done, note, and tool result not seen before: `no_progress` compares
  /// it.
  std::uint64_t progress() const noexcept { return progress_; }
  /// The session to resume natively, of the last attempt; empty: none.
  std::string session_id() const;

 private:
  friend struct state_fold;   // state.cpp: what an event does
  friend struct state_codec;  // state_json.cpp

  /// What attempts_ no longer holds.
  struct earlier_attempts {
    std::uint64_t count = 0, turns = 0;
    usage used;
  };

  std::string run_, task_, prompt_;
  std::vector<attempt_record> attempts_;
  earlier_attempts earlier_;
  std::vector<plan_item> plan_;
  std::vector<decision> decisions_;
  std::vector<tool_use> tools_;
  std::map<std::string, std::uint64_t> tool_counts_;
  text_tail messages_, thoughts_;
  std::string last_message_, notes_;
  std::vector<std::string> files_;
  std::size_t files_size_ = 0;  ///< of files_ in JSON
  std::vector<file_change> proposed_;
  std::optional<verification> verification_;
  std::vector<agent_error> errors_;
  std::uint64_t unknown_ = 0, progress_ = 0;

  // Where the fold stands between two events.
  std::string cwd_;                  ///< of the session
  std::size_t open_message_ = 0;     ///< bytes at the end of messages_ that are still streaming
  std::size_t newest_thought_ = 0;   ///< bytes at the end of thoughts_ not yet behind a decision
  bool thought_open_ = false;        ///< the next streamed piece continues it
  bool said_ = false;                ///< last_message_ is not yet behind a decision
  bool noted_ = false;               ///< this attempt has left a note
  bool decision_open_ = false;       ///< the next mutating call belongs to the newest decision
  std::vector<std::uint64_t> seen_;  ///< hashes of what counted as progress, the newest 64
};

}  // namespace remora::agent

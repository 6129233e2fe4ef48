// The two prompts: the first one, and the continuation that a successor starts with
// (docs/prompts.md). Pure. What comes from a checkpoint is fenced by a random delimiter, bounded
// and labelled as notes of an earlier attempt; the task's text and the rules come from the plan,
// never from a checkpoint.
#pragma once

#include <remora/agent/state.hpp>
#include <remora/core/units.hpp>

namespace remora::agent {

struct first_prompt_input {
  std::string task_prompt;
  std::string rules;  ///< of the plan; may be empty
  bool brief = true;
  std::vector<std::string>
      unseen;  ///< paths of a dirty checkout that the base does not hold; told in one line
};
std::string first_prompt(const first_prompt_input& in);

struct changed_path {
  std::string path;
  char status = 'M';
  std::uint64_t insertions = 0, deletions = 0;
};

struct continuation_input {
  std::string task_prompt;
  std::string rules;
  std::uint32_t attempt = 2;          ///< this one's number
  outcome last;                       ///< why the last one ended
  std::chrono::milliseconds wall{0};  ///< how long this one has; zero: no limit
  std::uint64_t memory_bytes = 0;     ///< what its process tree may have; zero: no limit
  const agent::state* mind = nullptr;
  std::vector<changed_path> changed;  ///< against the base
  std::string diff;                   ///< as much of it as there is; cut here to fit
  bool diff_truncated = false;
  std::string ref;        ///< where to read the rest: `remora-wip/<run>/<task>`
  std::string base;       ///< the base commit's id
  std::string head_note;  ///< «HEAD is detached at …», when it is not on the task's branch
  bool in_place = true;   ///< false: files were restored from the checkpoint
  std::string say;        ///< a new instruction from a person; above all of the checkpoint
  /// For all beside the task, the rules and `say`, which are never cut; estimated as bytes ÷ 4.
  /// Less than 2,000 is taken as 2,000: what is never cut has to fit.
  std::size_t budget_tokens = 8000;
  std::string fence;  ///< random, by the caller: 16 letters; empty: std::invalid_argument
  bool brief = true;  ///< repeats the brief of the first prompt
};
/// In the order of docs/prompts.md. Cut first when it does not fit: the diff, then file list,
/// thoughts, decisions (oldest first), notes (head first); never task, rules, verdict, last
/// message.
std::string continuation(const continuation_input& in);

/// What an agent is told at the soft deadline: to leave a note for its successor in the file
/// `notes`, and to end. Pure.
std::string note_request(std::chrono::milliseconds left, std::string_view notes);
/// An answer that is such a note: its first line is the one that `note_request` names.
bool is_note(std::string_view answer);

}  // namespace remora::agent

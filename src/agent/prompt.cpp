#include <fmt/format.h>

#include <agent/prompt_parts.hpp>
#include <algorithm>
#include <remora/agent/prompt.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

constexpr std::size_t names_shown = 10;
constexpr std::string_view note_heading = "Hand-off note";

std::string with_newline(std::string_view text) {
  std::string line(text);
  if (!line.ends_with('\n')) line += '\n';
  return line;
}

std::string unseen_part(const std::vector<std::string>& paths) {
  if (paths.empty()) return {};
  std::string names;
  for (std::size_t i = 0; i < std::min(paths.size(), names_shown); ++i)
    names += fmt::format("{}`{}`", i == 0 ? "" : ", ", one_line(paths[i], 120));
  if (paths.size() > names_shown) names += fmt::format(" and {} more", paths.size() - names_shown);
  return fmt::format("- Somebody has uncommitted changes that are not in your worktree: {}.\n",
                     names);
}

}  // namespace

std::string rules_part(std::string_view rules) {
  if (trim(rules).empty()) return {};
  return "# Rules\n\n" + with_newline(rules);
}

std::string brief_part() {
  return "- You may be stopped at any time. Somebody else then goes on from what is on disk and in "
         "your notes.\n"
         "- When you make a decision, append it with its reason to the file `$REMORA_NOTES`, and "
         "keep there what is left to do. The file is outside the worktree.\n"
         "- Do not use `git stash`: all worktrees of this repository share one stack.\n"
         "- If there is an answer for the caller, write it to the file `$REMORA_RESULT`.\n";
}

std::string first_prompt(const first_prompt_input& in) {
  const std::string rules = rules_part(in.rules);
  std::string text;
  if (!rules.empty()) text += rules + "\n# Task\n\n";
  text += in.task_prompt;
  if (rules.empty() && !in.brief) return text;
  text = with_newline(text);
  if (in.brief) text += "\n# How to work here\n\n" + brief_part() + unseen_part(in.unseen);
  if (!rules.empty()) text += "\n" + rules;
  return text;
}

std::string note_request(std::chrono::milliseconds left, std::string_view notes) {
  return fmt::format(
      "Your time for this task is nearly over: {} are left. Finish the step that you are at and "
      "begin no other one. Then append a note for your successor to the file {}: what is done, "
      "what is left, what you have learnt that the files do not show, and what to do next; at most "
      "300 words. After that, end. If you cannot write the file, answer with the note instead, "
      "under the first line \"{}\". Only if all of the task is done already: say that, and write "
      "no note.",
      format_duration(left), notes, note_heading);
}

bool is_note(std::string_view answer) {
  std::string_view first = trim(answer);
  first = first.substr(0, first.find('\n'));
  constexpr std::string_view marks = "#*_: \r\t";  // models like to mark a heading as one
  const std::size_t from = first.find_first_not_of(marks);
  return from != first.npos &&
         first.substr(from, first.find_last_not_of(marks) + 1 - from) == note_heading;
}

}  // namespace remora::agent

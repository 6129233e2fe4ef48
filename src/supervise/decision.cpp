#include <remora/supervise/decision.hpp>

#include <array>

#include "supervise/words.hpp"

namespace remora::supervise {

std::string_view name(phase p) {
  using enum phase;
  switch (p) {
    case idle:
      return "idle";
    case preparing:
      return "preparing";
    case asking:
      return "asking";
    case starting:
      return "starting";
    case running:
      return "running";
    case freezing:
      return "freezing";
    case grace:
      return "grace";
    case emptying:
      return "emptying";
    case saving:
      return "saving";
    case verifying:
      return "verifying";
    case publishing:
      return "publishing";
    case waiting:
      return "waiting";
    case finished:
      return "finished";
  }
  return "";
}

std::string_view name(const fact& f) {
  static constexpr std::array<std::string_view, std::variant_size_v<fact>> names{
      "begin",
      "prepared",
      "prepare_failed",
      "started",
      "spawn_failed",
      "output",
      "worktree_changed",
      "turn_ended",
      "mutated",
      "frozen",
      "exited",
      "emptied",
      "saved",
      "save_failed",
      "verified",
      "published",
      "publish_failed",
      "deadline",
      "stop",
      "alive",
      "silent",
      "over_budget",
      "allowed",
      "denied",
      "woke",
      "retrying",
      "looping",
      "handed_over",
      "checkpoint_requested"};
  return names[f.index()];
}

std::string words_for(const agent::outcome& o) {
  std::string words(agent::name(o.verdict));
  return o.detail.empty() ? words : words + " (" + o.detail + ")";
}

}  // namespace remora::supervise

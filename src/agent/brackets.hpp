// Keeps prompt_started … prompt_ended and turn_started … turn_ended balanced, turns within prompts.
#pragma once

#include <remora/agent/event.hpp>

namespace remora::agent {

class brackets {
 public:
  bool in_prompt() const noexcept { return prompt_; }
  bool in_turn() const noexcept { return turn_; }

  void open_prompt(std::vector<event>& events) {
    if (!std::exchange(prompt_, true)) events.emplace_back(prompt_started{});
  }
  void open_turn(std::vector<event>& events) {
    if (!std::exchange(turn_, true)) events.emplace_back(turn_started{});
  }
  void close_turn(std::vector<event>& events) {
    if (std::exchange(turn_, false)) events.emplace_back(turn_ended{});
  }
  void close_prompt(std::vector<event>& events) {
    close_turn(events);
    if (std::exchange(prompt_, false)) events.emplace_back(prompt_ended{});
  }

 private:
  bool prompt_ = false;
  bool turn_ = false;
};

}  // namespace remora::agent

// What follows a verdict: the one table (design.md §7), also printed in docs/supervision.md.
#pragma once

#include <chrono>
#include <remora/agent/verdict.hpp>
#include <span>

namespace remora::supervise {

enum class follow { succeed, successor, next_agent, interrupt, fail, cancel };

struct rule {
  agent::verdict verdict;
  follow then;
  bool counts;                           ///< towards `attempts`
  std::chrono::milliseconds first_wait;  ///< doubled each time in a row, with jitter
  std::chrono::milliseconds longest_wait;
};

std::span<const rule> rules();
const rule& rule_of(agent::verdict v);

}  // namespace remora::supervise

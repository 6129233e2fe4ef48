// What follows a verdict: the one table, also printed in docs/supervision.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <remora/agent/verdict.hpp>
#include <span>
#include <string_view>

namespace remora::supervise {

/// open_account: a successor, by the first agent of the task's list whose account is not paused; it
/// waits for that. next_agent: a successor, by the agent behind this one in the list, else `fail`.
enum class follow { succeed, successor, open_account, next_agent, interrupt, fail, cancel };

struct rule {
  agent::verdict verdict;
  follow then;
  bool counts;                           ///< towards `attempts`
  std::chrono::milliseconds first_wait;  ///< doubled each time in a row, with jitter
  std::chrono::milliseconds longest_wait;
  std::chrono::milliseconds free_for{0};  ///< so long in a row it does not count
};

/// One for each verdict, in the order of the enumeration.
std::span<const rule> rules();
const rule& rule_of(agent::verdict v);
std::string_view name(follow f);

/// `first` · 2ⁿ, at most `longest`; no n overflows.
std::chrono::milliseconds doubled(std::chrono::milliseconds first, std::uint32_t n,
                                  std::chrono::milliseconds longest);

}  // namespace remora::supervise

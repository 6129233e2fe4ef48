#include <algorithm>
#include <array>
#include <remora/supervise/verdicts.hpp>

namespace remora::supervise {
namespace {

using namespace std::chrono_literals;
using agent::verdict;

// A rate limit's wait is that of its account, where no reset was told.
constexpr std::array<rule, 18> table{{
    {verdict::completed, follow::succeed, false, 0s, 0s},
    {verdict::timed_out, follow::successor, true, 0s, 0s},
    {verdict::verify_failed, follow::successor, true, 0s, 0s},
    {verdict::failed, follow::successor, true, 1s, 60s},
    {verdict::crashed, follow::successor, true, 1s, 60s},
    {verdict::context_full, follow::successor, true, 0s, 0s},
    {verdict::overloaded, follow::successor, true, 5s, 5min, 30min},
    {verdict::network, follow::successor, true, 5s, 5min, 30min},
    {verdict::rate_limited, follow::open_account, false, 60s, 15min},
    {verdict::auth_failed, follow::open_account, false, 0s, 0s},
    {verdict::refused, follow::next_agent, true, 0s, 0s},
    {verdict::budget, follow::interrupt, false, 0s, 0s},
    {verdict::setup_failed, follow::fail, false, 0s, 0s},
    {verdict::spawn_failed, follow::fail, false, 0s, 0s},
    {verdict::no_progress, follow::next_agent, false, 0s, 0s},
    {verdict::interrupted, follow::interrupt, false, 0s, 0s},
    {verdict::orphaned, follow::interrupt, false, 0s, 0s},
    {verdict::cancelled, follow::cancel, false, 0s, 0s},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < table.size(); ++i)
    if (table[i].verdict != static_cast<verdict>(i)) return false;
  return table.back().verdict == verdict::cancelled;
}
static_assert(in_order(), "one row for each verdict, in the order of the enumeration");

}  // namespace

std::span<const rule> rules() {
  return table;
}

const rule& rule_of(verdict v) {
  return table.at(static_cast<std::size_t>(v));
}

std::string_view name(follow f) {
  switch (f) {
    case follow::succeed:
      return "succeed";
    case follow::successor:
      return "successor";
    case follow::open_account:
      return "open account";
    case follow::next_agent:
      return "next agent";
    case follow::interrupt:
      return "interrupt";
    case follow::fail:
      return "fail";
    case follow::cancel:
      return "cancel";
  }
  return "";
}

std::chrono::milliseconds doubled(std::chrono::milliseconds first, std::uint32_t n,
                                  std::chrono::milliseconds longest) {
  auto wait = std::min(first, longest);
  for (; n > 0 && wait < longest && wait > 0ms; --n) wait = wait > longest / 2 ? longest : 2 * wait;
  return wait;
}

}  // namespace remora::supervise

#include <fmt/format.h>

#include <array>
#include <remora/agent/verdict.hpp>

namespace remora::agent {
namespace {

/// In the order of the enumeration.
constexpr std::array<std::string_view, 18> names = {
    "completed",    "timed_out",    "verify_failed", "failed",      "crashed",  "context_full",
    "overloaded",   "network",      "rate_limited",  "auth_failed", "refused",  "budget",
    "setup_failed", "spawn_failed", "no_progress",   "interrupted", "orphaned", "cancelled"};
static_assert(names.size() == static_cast<std::size_t>(verdict::cancelled) + 1);

}  // namespace

std::string_view name(verdict v) {
  return names[static_cast<std::size_t>(v)];
}

result<verdict> parse_verdict(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return static_cast<verdict>(i);
  return fail(errc::usage, fmt::format("'{}' is not a verdict", text));
}

}  // namespace remora::agent

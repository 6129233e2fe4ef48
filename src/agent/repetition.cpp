#include <fmt/format.h>

#include <remora/agent/failure.hpp>
#include <remora/agent/repetition.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

constexpr std::size_t compared_bytes = 1024;

/// Without numbers: they count retries, or tell the time.
std::string shape(const agent_error& e) {
  std::string text(name(e.kind));
  text += ' ';
  for (const char c : head_bytes(e.text, compared_bytes))
    if (c < '0' || c > '9') text += c;
  return text;
}

}  // namespace

std::optional<outcome> repetition::on(const event& e) {
  if (std::holds_alternative<tool_result>(e)) row_ = 0;
  const auto* error = std::get_if<agent_error>(&e);
  if (!error) return std::nullopt;
  std::string now = shape(*error);
  row_ = now == same_ ? row_ + 1 : 1;
  same_ = std::move(now);
  if (row_ != longest_row) return std::nullopt;
  outcome met = outcome_of(*error, {});
  if (met.verdict == verdict::failed) met.detail = "loop";
  met.text = fmt::format("{} times the same error: {}", longest_row, met.text);
  return met;
}

}  // namespace remora::agent

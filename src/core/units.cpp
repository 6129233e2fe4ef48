#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <remora/core/units.hpp>

namespace remora {
namespace {

struct unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr unit counts[] = {{"", 1}, {"k", 1000}, {"M", 1'000'000}, {"G", 1'000'000'000}};
constexpr unit sizes[] = {{"", 1}, {"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};
constexpr std::uint64_t longest_ms = 1000ull * 86'400'000;

template <std::size_t N>
result<std::uint64_t> parse(std::string_view text, const unit (&units)[N],
                            std::string_view example) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value);
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  if (ec == std::errc::result_out_of_range)
    return fail(errc::usage, fmt::format("'{}' is too large", text));
  if (ec == std::errc()) {
    for (const unit& u : units) {
      if (u.name != suffix) continue;
      if (value > std::numeric_limits<std::int64_t>::max() / u.factor)
        return fail(errc::usage, fmt::format("'{}' is too large", text));
      return value * u.factor;
    }
  }
  return fail(errc::usage, fmt::format("'{}' is not {}", text, example));
}

}  // namespace

result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  REMORA_TRY(const std::uint64_t ms, parse(text, durations, "a duration such as 90s, 30m or 2h"));
  if (ms > longest_ms) return fail(errc::usage, fmt::format("'{}' is longer than 1000d", text));
  return std::chrono::milliseconds(ms);
}

result<std::uint64_t> parse_count(std::string_view text) {
  return parse(text, counts, "a count such as 200, 400k or 2M");
}

result<std::uint64_t> parse_size(std::string_view text) {
  return parse(text, sizes, "a size such as 4096, 400k or 10M");
}

result<double> parse_amount(std::string_view text) {
  constexpr double largest = 1e9;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (ec != std::errc() || rest != end || !std::isfinite(value) || value < 0)
    return fail(errc::usage, fmt::format("'{}' is not an amount such as 2 or 0.25", text));
  if (value > largest) return fail(errc::usage, fmt::format("'{}' is too large", text));
  return value;
}

std::string format_duration(std::chrono::milliseconds d) {
  const std::int64_t ms = d.count();
  if (ms < 10'000) return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
  const std::int64_t s = ms / 1000;
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string format_duration_exact(std::chrono::milliseconds d) {
  const auto ms = static_cast<std::uint64_t>(d.count());
  const unit* best = &durations[0];
  for (const unit& u : durations)
    if (ms >= u.factor && ms % u.factor == 0) best = &u;
  return fmt::format("{}{}", ms / best->factor, best->name);
}

std::string format_size_exact(std::uint64_t bytes) {
  const unit* best = &sizes[0];
  for (const unit& u : sizes)
    if (bytes >= u.factor && bytes % u.factor == 0) best = &u;
  return fmt::format("{}{}", bytes / best->factor, best->name);
}

std::string format_count(std::uint64_t n) {
  if (n < 1000) return fmt::format("{}", n);
  if (n < 1'000'000) return fmt::format("{:.1f}k", static_cast<double>(n) / 1e3);
  return fmt::format("{:.1f}M", static_cast<double>(n) / 1e6);
}

}  // namespace remora

// Durations (`90s 30m 2h 500ms`), counts (`10M 400k`) and sizes (`10M` = 10 · 2^20 bytes), read
// from plans and options and written for people. Zero, negative and overflowing values are refused
// where the caller says so; a missing or unknown unit always is.
#pragma once

#include <chrono>
#include <cstdint>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>

namespace remora {

/// Errors: errc::usage. Largest: 1,000 days.
result<std::chrono::milliseconds> parse_duration(std::string_view text);
/// A plain number, or one with k, M, G (powers of 1,000). Errors: errc::usage.
result<std::uint64_t> parse_count(std::string_view text);
/// A plain number of bytes, or one with k, M, G (powers of 1,024). Errors: errc::usage.
result<std::uint64_t> parse_size(std::string_view text);

/// Dollars, or what else has parts: `2`, `0.25`. Errors: errc::usage. Largest: a thousand million.
result<double> parse_amount(std::string_view text);

/// `0.8s`, `12s`, `3m05s`, `2h10m`.
std::string format_duration(std::chrono::milliseconds d);
/// As `parse_duration` reads it: `90s`, `1500ms`.
std::string format_duration_exact(std::chrono::milliseconds d);
/// As `parse_size` reads it: `4G`, `1536M`, `4097`.
std::string format_size_exact(std::uint64_t bytes);
/// `17`, `4.2k`, `1.3M`.
std::string format_count(std::uint64_t n);

}  // namespace remora

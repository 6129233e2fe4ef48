// Strong ids. A value of these types has been checked; text becomes one only by `parse`.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>

namespace remora {

/// `YYYYMMDD-HHMMSS-xxxx`: UTC, then four base32 letters. Sorts by time.
class run_id {
 public:
  /// Errors: errc::usage.
  static result<run_id> parse(std::string_view text);
  /// `random`: its low 20 bits become the four letters.
  static run_id make(std::chrono::system_clock::time_point now, std::uint32_t random);

  const std::string& str() const noexcept { return text_; }
  auto operator<=>(const run_id&) const = default;

 private:
  explicit run_id(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// `[a-z0-9][a-z0-9._-]{0,63}`, without `..`, not ending in `.` or `.lock`: usable in a ref and a
/// path.
class task_id {
 public:
  /// Errors: errc::usage; the text says what is wrong and proposes an id (`PROJ-12` → `proj-12`).
  static result<task_id> parse(std::string_view text);

  const std::string& str() const noexcept { return text_; }
  auto operator<=>(const task_id&) const = default;

 private:
  explicit task_id(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A count from 1 that cannot be mixed with another one.
template <class Tag>
class number {
 public:
  constexpr explicit number(std::uint32_t value = 0) noexcept : value_(value) {}
  constexpr std::uint32_t value() const noexcept { return value_; }
  constexpr number next() const noexcept { return number(value_ + 1); }
  auto operator<=>(const number&) const = default;

 private:
  std::uint32_t value_;
};

using attempt_no = number<struct attempt_tag>;        ///< of a task, from 1
using checkpoint_no = number<struct checkpoint_tag>;  ///< of a task, from 1; 0: none yet

}  // namespace remora

template <>
struct std::hash<remora::task_id> {
  std::size_t operator()(const remora::task_id& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};

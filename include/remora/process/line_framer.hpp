// Bytes into lines. Framing is on bytes: a code point split between two reads is whole again here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace remora::process {

/// A line may be `limit` bytes long; a longer one is dropped, counted, and framing goes on at the
/// next newline. Memory: at most `limit`, and what a long line took is given back.
class line_framer {
 public:
  static constexpr std::size_t default_limit = std::size_t{64} << 20;
  explicit line_framer(std::size_t limit = default_limit) : limit_(limit) {}

  /// Calls `line` for each whole line (without its newline, and without a `\r` before it).
  void feed(std::string_view bytes, const std::function<void(std::string_view)>& line);
  /// What came after the last newline, at the end of the stream: partial, never to be parsed as
  /// whole.
  std::string_view rest() const noexcept { return partial_; }
  std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  void keep(std::string_view piece);
  void forget_partial();

  std::size_t limit_;
  std::string partial_;
  bool skipping_ = false;
  std::uint64_t dropped_ = 0;
};

}  // namespace remora::process

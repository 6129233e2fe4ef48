// The last bytes of a stream of lines.
#pragma once

#include <cstddef>
#include <remora/core/text.hpp>
#include <string>
#include <string_view>

namespace remora::agent {

/// Appends `line` and a newline; between `limit` and twice as much is kept. Cost: amortised, the
/// line's own length.
inline void append_line(std::string& tail, std::string_view line, std::size_t limit) {
  tail += tail_bytes(line, limit);
  tail += '\n';
  if (tail.size() > 2 * limit) tail = std::string(tail_bytes(tail, limit));
}

/// The first and the last lines of stderr: what went wrong stands before a usage text, or after
/// warnings.
class complaint {
 public:
  void append(std::string_view line) {
    if (head_.size() < end_bytes) {
      head_ += head_bytes(line, end_bytes - head_.size());
      head_ += '\n';
    } else {
      append_line(tail_, line, end_bytes);
    }
  }
  std::string text() const {
    const std::string_view last = tail_bytes(tail_, end_bytes);
    const bool gap = last.size() < tail_.size();
    return std::string(trim(head_ + (gap ? "…\n" : "") + std::string(last)));
  }

 private:
  static constexpr std::size_t end_bytes = 2000;  ///< both fit into an outcome's text
  std::string head_, tail_;
};

/// A line that is not understood, as far as an event carries it; the transcript has all of it.
inline std::string raw_line(std::string_view line) {
  return std::string(head_bytes(line, std::size_t{16} << 10));
}

}  // namespace remora::agent

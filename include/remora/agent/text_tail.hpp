// The end of a text that goes on growing, in constant memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace remora::agent {

/// Bytes that `text`, which is printable, takes between the quotes of a JSON string.
std::size_t json_size(std::string_view text) noexcept;

/// Keeps at most `limit` bytes, measured as JSON writes them. Over it, a quarter goes at once: so
/// an append costs its own length, and what is kept depends on nothing but what was appended.
class text_tail {
 public:
  explicit text_tail(std::size_t limit) noexcept : limit_(limit) {}

  /// `text`: printable.
  void append(std::string_view text);
  const std::string& str() const noexcept { return text_; }

 private:
  std::size_t limit_;
  std::size_t size_ = 0;  ///< json_size of text_
  std::string text_;
};

}  // namespace remora::agent

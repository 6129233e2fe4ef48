#include <algorithm>
#include <remora/process/line_framer.hpp>

namespace remora::process {

namespace {

constexpr std::size_t kept_capacity = 16 << 10;

std::string_view without_return(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

void line_framer::feed(std::string_view bytes, const std::function<void(std::string_view)>& line) {
  for (;;) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (!skipping_ && (end == bytes.npos || !partial_.empty())) {
      skipping_ = partial_.size() + piece.size() > limit_ + 1;  // one more: a `\r` does not count
      if (!skipping_) keep(piece);
    }
    if (end == bytes.npos) break;
    const std::string_view whole =
        without_return(partial_.empty() || skipping_ ? piece : std::string_view(partial_));
    if (skipping_ || whole.size() > limit_)
      ++dropped_;
    else
      line(whole);
    skipping_ = false;
    forget_partial();
    bytes.remove_prefix(end + 1);
  }
  if (skipping_) forget_partial();
}

void line_framer::keep(std::string_view piece) {
  const std::size_t needed = partial_.size() + piece.size();
  if (needed > partial_.capacity())  // the string by itself would double beyond the limit
    partial_.reserve(std::max(needed, std::min(2 * partial_.capacity(), limit_ + 1)));
  partial_.append(piece);
}

void line_framer::forget_partial() {
  if (partial_.capacity() > kept_capacity)
    partial_ = std::string();
  else
    partial_.clear();
}

}  // namespace remora::process

#include "front/columns.hpp"

#include <algorithm>
#include <iterator>

namespace remora::front {
namespace {

struct range {
  char32_t first, last;
};

// Unicode 15, EastAsianWidth W and F, in whole blocks.
constexpr range wide[] = {
    {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},  {0xA960, 0xA97F}, {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
    {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
// General category Mn and Cf, the blocks that occur in ordinary text.
constexpr range none[] = {{0x0300, 0x036F}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
                          {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

template <std::size_t N>
bool in(const range (&ranges)[N], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const range& r) { return r.first <= c && c <= r.last; });
}

std::size_t width_of(char32_t c) {
  return in(none, c) ? 0 : in(wide, c) ? 2 : 1;
}

/// The code point at the beginning of `text`, which is then without it. A byte that begins none
/// stands for itself.
char32_t take(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t more = lead < 0xC0 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t c = more == 0 ? lead : lead & (0x3Fu >> more);
  std::size_t length = 1;
  for (; length <= more && length < text.size(); ++length)
    c = (c << 6) | (static_cast<unsigned char>(text[length]) & 0x3Fu);
  text.remove_prefix(length);
  return c;
}

}  // namespace

std::size_t columns(std::string_view utf8) {
  std::size_t sum = 0;
  while (!utf8.empty()) sum += width_of(take(utf8));
  return sum;
}

std::string pad(std::string_view utf8, std::size_t width) {
  const std::size_t taken = columns(utf8);
  return std::string(utf8) + std::string(width > taken ? width - taken : 0, ' ');
}

std::string fit(std::string_view utf8, std::size_t width) {
  if (columns(utf8) <= width) return std::string(utf8);
  if (width == 0) return {};
  std::string_view rest = utf8;
  for (std::size_t taken = 0; !rest.empty();) {
    std::string_view after = rest;
    taken += width_of(take(after));
    if (taken > width - 1) break;
    rest = after;
  }
  return std::string(utf8.substr(0, utf8.size() - rest.size())) + "…";
}

}  // namespace remora::front

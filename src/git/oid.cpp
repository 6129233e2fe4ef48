#include <fmt/format.h>

#include <remora/core/text.hpp>
#include <remora/git/oid.hpp>

namespace remora::git {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

/// 0 to 15, or 16 and more for what is no digit.
unsigned nibble(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return 16;
}

}  // namespace

result<oid> oid::parse(std::string_view hex) {
  oid id;
  bool good = hex.size() == 2 * id.raw_.size();
  for (std::size_t i = 0; good && i < id.raw_.size(); ++i) {
    const unsigned high = nibble(hex[2 * i]);
    const unsigned low = nibble(hex[2 * i + 1]);
    good = high < 16 && low < 16;
    id.raw_[i] = static_cast<unsigned char>(high << 4 | low);
  }
  if (!good)
    return fail(errc::corrupt,
                fmt::format("not an object id of 40 hexadecimal digits: '{}'", one_line(hex, 60)));
  return id;
}

std::string oid::hex() const {
  std::string text;
  text.reserve(2 * raw_.size());
  for (const unsigned char byte : raw_) {
    text += hex_digits[byte >> 4];
    text += hex_digits[byte & 15];
  }
  return text;
}

}  // namespace remora::git

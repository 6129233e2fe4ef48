#include <fmt/format.h>
#include <boost/json.hpp>
#include <remora/core/text.hpp>

namespace remora {
namespace {

struct code_point {
  char32_t value;
  std::size_t length;  ///< 0: not valid UTF-8 at this place
};

bool continues(unsigned char c) {
  return (c & 0xC0) == 0x80;
}

code_point decode(std::string_view s) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || s.size() < length) return {0, 0};
  char32_t value = first & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (!continues(at(i))) return {0, 0};
    value = (value << 6) | (at(i) & 0x3F);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (overlong || surrogate || value > 0x10FFFF) return {0, 0};
  return {value, length};
}

/// What a reader does not see or a terminal obeys.
bool is_invisible(char32_t c) {
  const bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0);
  const bool bidi = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x061C;
  const bool zero_width = (c >= 0x200B && c <= 0x200F) || c == 0x2060 || c == 0xFEFF;
  const bool tag = c >= 0xE0000 && c <= 0xE007F;
  return control || bidi || zero_width || tag;
}

/// The length of the escape sequence at the head of `s`, which begins with ESC.
std::size_t escape_length(std::string_view s) {
  if (s.size() < 2) return 1;
  std::size_t i = 2;
  if (s[1] == '[') {  // CSI: parameters, then one final byte
    while (i < s.size() && (s[i] < 0x40 || s[i] > 0x7E)) ++i;
    return std::min(i + 1, s.size());
  }
  if (s[1] == ']' || s[1] == 'P' || s[1] == '_' ||
      s[1] == '^') {  // a string, to BEL or ESC backslash
    for (; i < s.size() && s[i] != '\n'; ++i) {
      if (s[i] == '\a') return i + 1;
      if (s[i] == '\x1b' && i + 1 < s.size() && s[i + 1] == '\\') return i + 2;
    }
    return i;
  }
  return 2;
}

}  // namespace

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const code_point c = decode(bytes);
    if (c.length == 0) return false;
    bytes.remove_prefix(c.length);
  }
  return true;
}

std::string to_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out;
  while (!bytes.empty()) {
    const code_point c = decode(bytes);
    const std::size_t taken = c.length == 0 ? 1 : c.length;
    if (c.length == 0)
      out += "\xEF\xBF\xBD";
    else
      out += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const code_point c = decode(text);
    std::size_t taken = c.length == 0 ? 1 : c.length;
    if (c.length == 0)
      out += "\xEF\xBF\xBD";
    else if (c.value == 0x1B)
      taken = escape_length(text);
    else if (!is_invisible(c.value))
      out += text.substr(0, taken);
    text.remove_prefix(taken);
  }
  return out;
}

std::string_view head_bytes(std::string_view text, std::size_t limit) noexcept {
  if (text.size() <= limit) return text;
  while (limit > 0 && continues(static_cast<unsigned char>(text[limit]))) --limit;
  return text.substr(0, limit);
}

std::string_view tail_bytes(std::string_view text, std::size_t limit) noexcept {
  if (text.size() <= limit) return text;
  std::size_t from = text.size() - limit;
  while (from < text.size() && continues(static_cast<unsigned char>(text[from]))) ++from;
  return text.substr(from);
}

std::string one_line(std::string_view text, std::size_t limit) {
  text = trim(text);
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string shown = printable(line);
  if (shown.size() <= limit && line.size() == text.size()) return shown;
  return fmt::format("{}…", head_bytes(shown, limit));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\r\n";
  const std::size_t from = text.find_first_not_of(blank);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(blank) - from + 1);
}

void path_to_json(boost::json::object& into, std::string_view key, std::string_view path) {
  into[key] = to_utf8(path);
  if (is_utf8(path)) return;
  std::string hex;
  for (const char c : path) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  into[std::string(key) + "_hex"] = hex;
}

std::string path_from_json(const boost::json::object& from, std::string_view key) {
  if (const auto* hex = from.if_contains(std::string(key) + "_hex"); hex && hex->is_string()) {
    const boost::json::string& digits = hex->get_string();
    const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string path;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
      path += static_cast<char>(nibble(digits[i]) << 4 | nibble(digits[i + 1]));
    return path;
  }
  const auto* value = from.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace remora

// Bytes that came from elsewhere, made fit for where they go: JSON, a terminal, a prompt.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace remora {

bool is_utf8(std::string_view bytes) noexcept;

/// Each byte that is not part of valid UTF-8 becomes U+FFFD. Valid text is returned as it is.
std::string to_utf8(std::string_view bytes);

/// `text` without what a terminal would act on: C0 and C1 controls (but tab and newline), escape
/// sequences, bidirectional overrides and zero-width characters. Always valid UTF-8.
std::string printable(std::string_view text);

/// The first, or last, `limit` bytes, cut at a code point; what was cut is counted, not marked.
std::string_view head_bytes(std::string_view text, std::size_t limit) noexcept;
std::string_view tail_bytes(std::string_view text, std::size_t limit) noexcept;

/// The first line of `text`, printable, at most `limit` bytes and then `…`.
std::string one_line(std::string_view text, std::size_t limit);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text) noexcept;

/// A path of any bytes in JSON: `key` holds it as UTF-8; `key_hex` holds the exact bytes where
/// they are not UTF-8. `path_from_json` is the inverse; an absent key gives an empty string.
void path_to_json(boost::json::object& into, std::string_view key, std::string_view path);
std::string path_from_json(const boost::json::object& from, std::string_view key);

}  // namespace remora

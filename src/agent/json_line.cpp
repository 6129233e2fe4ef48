#include "json_line.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace json = boost::json;
namespace {

constexpr std::size_t deepest = 128;

std::optional<json::value> parsed(std::string_view line, json::storage_ptr memory) {
  json::parse_options options;
  options.max_depth = deepest;
  boost::system::error_code ec;
  json::value v = json::parse(json::string_view(line), ec, std::move(memory), options);
  if (ec) return std::nullopt;
  return v;
}

/// The four hex digits of `\uXXXX` at `at`; nothing if there is no such escape.
std::optional<unsigned> unicode_escape(std::string_view s, std::size_t at) {
  if (s.size() < at + 6 || s[at] != '\\' || s[at + 1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const char* const from = s.data() + at + 2;
  const auto [end, ec] = std::from_chars(from, from + 4, unit, 16);
  if (ec != std::errc() || end != from + 4) return std::nullopt;
  return unit;
}

bool is_high(unsigned unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}
bool is_low(unsigned unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

const json::value* find(const json::object& o, std::string_view key) {
  return o.if_contains(json::string_view(key));
}

}  // namespace

std::string mend_json(std::string_view line) {
  const std::string text = to_utf8(line);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) < 0x20) {
      out += ' ';
    } else if (text[i] != '\\') {
      out += text[i];
    } else if (const auto unit = unicode_escape(text, i)) {
      const auto second = unicode_escape(text, i + 6);
      const bool pair = is_high(*unit) && second && is_low(*second);
      const bool half = !pair && (is_high(*unit) || is_low(*unit));
      if (half)
        out += "\\ufffd";
      else
        out.append(text, i, pair ? 12 : 6);
      i += pair ? 11 : 5;
    } else {
      out.append(text, i, 2);
      ++i;
    }
  }
  return out;
}

const json::object* json_line::parse(std::string_view line) {
  value_.reset();
  memory_.emplace(first_.data(), first_.size());
  value_ = parsed(line, &*memory_);
  if (!value_ && line.starts_with('{')) value_ = parsed(mend_json(line), &*memory_);
  return value_ ? value_->if_object() : nullptr;
}

std::string_view text_of(const json::object& o, std::string_view key) {
  const json::value* v = find(o, key);
  if (!v || !v->is_string()) return {};
  return {v->get_string().data(), v->get_string().size()};
}

const json::object* object_of(const json::object& o, std::string_view key) {
  const json::value* v = find(o, key);
  return v ? v->if_object() : nullptr;
}

const json::array* array_of(const json::object& o, std::string_view key) {
  const json::value* v = find(o, key);
  return v ? v->if_array() : nullptr;
}

std::optional<double> number_of(const json::object& o, std::string_view key) {
  const json::value* v = find(o, key);
  if (!v) return std::nullopt;
  double number = 0;
  if (v->is_number()) {
    number = v->to_number<double>();
    return std::isfinite(number) ? std::optional(number) : std::nullopt;
  }
  const std::string_view text = text_of(o, key);
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

std::uint64_t count_of(const json::object& o, std::string_view key) {
  constexpr double largest = 1e15;  // more is no count, and sums must not overflow
  const double n = number_of(o, key).value_or(0);
  return n >= 1 && n < largest ? static_cast<std::uint64_t>(n) : 0;
}

bool flag_of(const json::object& o, std::string_view key, bool otherwise) {
  const json::value* v = find(o, key);
  if (v && v->is_bool()) return v->get_bool();
  const std::string_view text = text_of(o, key);
  return text == "true" || (otherwise && text != "false");
}

std::string content_text(const json::value* content) {
  if (!content || content->is_null()) return {};
  if (content->is_string()) return {content->get_string().data(), content->get_string().size()};
  const json::array* blocks = content->if_array();
  if (!blocks) return json::serialize(*content);
  std::string text;
  for (const json::value& block : *blocks) {
    const json::object* o = block.if_object();
    if (!text.empty()) text += '\n';
    if (block.is_string())
      text += std::string_view(block.get_string());
    else if (o && text_of(*o, "type") == "text")
      text += text_of(*o, "text");
    else if (o)
      text.append("[").append(text_of(*o, "type")).append("]");  // an image, as base64, is no text
  }
  return text;
}

json::value keep(const json::value& v) {
  if (const auto* s = v.if_string()) return json::value(to_utf8(std::string_view(*s)));
  if (const auto* a = v.if_array()) {
    json::array copy;
    copy.reserve(a->size());
    for (const json::value& item : *a) copy.push_back(keep(item));
    return copy;
  }
  if (const auto* o = v.if_object()) {
    json::object copy;
    copy.reserve(o->size());
    for (const auto& [key, item] : *o) copy[to_utf8(std::string_view(key))] = keep(item);
    return copy;
  }
  return json::value(v, json::storage_ptr());
}

}  // namespace remora::agent

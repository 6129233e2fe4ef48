// Appends a state's parts to a text, as JSON. The state is written at every checkpoint, and values
// that are built only to be serialised cost many times as much. Private to the agent room.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <concepts>
#include <iterator>
#include <map>
#include <optional>
#include <remora/agent/state.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::agent {

class state_writer {
 public:
  explicit state_writer(std::string& to) : to_(to) {}

  void put(std::string_view text) {
    to_ += '"';
    while (!text.empty()) {
      const auto plain =
          static_cast<std::size_t>(std::ranges::find_if(text, is_special) - text.begin());
      to_ += text.substr(0, plain);
      text.remove_prefix(plain);
      if (text.empty()) break;
      put_escaped(text.front());
      text.remove_prefix(1);
    }
    to_ += '"';
  }
  template <std::integral Number>
  void put(Number n) {
    if constexpr (std::is_same_v<Number, bool>)
      to_ += n ? "true" : "false";
    else
      fmt::format_to(std::back_inserter(to_), "{}", n);
  }
  void put(double n) { to_ += n == 0 ? "0E0" : boost::json::serialize(boost::json::value(n)); }
  template <class T>
  void put(const std::optional<T>& value) {
    if (value)
      put(*value);
    else
      to_ += "null";
  }
  template <class T>
  void put(const std::vector<T>& list) {
    to_ += '[';
    for (const T& element : list) {
      if (&element != &list.front()) to_ += ',';
      put(element);
    }
    to_ += ']';
  }
  void put(const std::map<std::string, std::uint64_t>& counts) {
    to_ += '{';
    for (const auto& [key, count] : counts) {
      if (key != counts.begin()->first) to_ += ',';
      put(key);
      to_ += ':';
      put(count);
    }
    to_ += '}';
  }

  /// A value that writes itself.
  template <std::invocable<state_writer&> Value>
  void put(const Value& value) {
    value(*this);
  }

  void put(const usage& u) {
    put_object("input_tokens", u.input_tokens, "output_tokens", u.output_tokens, "cached_tokens",
               u.cached_tokens, "reasoning_tokens", u.reasoning_tokens, "cost_usd", u.cost_usd,
               "estimated", u.estimated);
  }
  void put(const outcome& o) {
    put_object("verdict", name(o.verdict), "detail", o.detail, "text", o.text);
  }
  void put(const attempt_record& a) {
    put_object("number", a.number, "agent", a.agent, "adapter", a.adapter, "model", a.model,
               "session_id", a.session_id, "started", a.started, "ended", a.ended, "outcome",
               a.ended_with, "turns", a.turns, "usage", a.used);
  }
  void put(const plan_item& item) { put_object("text", item.text, "status", name(item.status)); }
  void put(const decision& d) {
    put_object("text", d.text, "source", d.source, "files", d.files, "attempt", d.attempt);
  }
  void put(const tool_use& t) {
    put_object("id", t.id, "name", t.name, "input", t.input, "result", t.result, "ok", t.ok,
               "attempt", t.attempt);
  }
  void put(const file_change& f) {
    put_object("path", f.path, "kind", f.kind, "content", f.content);
  }
  void put(const verification& v) {
    put_object("ok", v.ok, "command", v.command, "output", v.output, "attempt", v.attempt);
  }
  void put(const agent_error& e) {
    put_object("kind", name(e.kind), "transient", e.transient, "retry_at", e.retry_at, "text",
               e.text);
  }

  /// A key, its value, and so on.
  template <class... Fields>
  void put_object(const Fields&... fields) {
    to_ += '{';
    put_fields(":", ",", fields...);
    to_ += '}';
  }
  /// A field a line: what changed from one checkpoint to the next is what git shows.
  template <class... Fields>
  void put_lines(const Fields&... fields) {
    to_ += "{\n";
    put_fields(": ", ",\n", fields...);
    to_ += "\n}\n";
  }

 private:
  static bool is_special(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
  }
  void put_escaped(char c) {
    constexpr std::string_view special = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
    if (const std::size_t at = special.find(c); at != special.npos)
      to_.append({'\\', letters[at]});
    else
      fmt::format_to(std::back_inserter(to_), "\\u{:04x}", c);
  }
  template <class Value, class... Rest>
  void put_fields(std::string_view colon, std::string_view comma, std::string_view key,
                  const Value& value, const Rest&... rest) {
    to_.append("\"").append(key).append("\"").append(colon);
    put(value);
    if constexpr (sizeof...(rest) > 0) {
      to_ += comma;
      put_fields(colon, comma, rest...);
    }
  }

  std::string& to_;
};

}  // namespace remora::agent

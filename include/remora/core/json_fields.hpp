// Fields of JSON that this program wrote, perhaps another version of it: one that is absent, or of
// another type, is empty.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace remora {

inline std::string json_text(const boost::json::object& o, std::string_view key) {
  const boost::json::value* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}

/// 0 where it does not fit into `Integer`.
template <class Integer = std::int64_t>
Integer json_integer(const boost::json::object& o, std::string_view key) {
  boost::system::error_code ec;
  const boost::json::value* v = o.if_contains(key);
  return v && v->is_number() ? v->to_number<Integer>(ec) : 0;
}

/// 0 where it is no number.
inline double json_number(const boost::json::object& o, std::string_view key) {
  boost::system::error_code ec;
  const boost::json::value* v = o.if_contains(key);
  return v && v->is_number() ? v->to_number<double>(ec) : 0;
}

inline bool json_flag(const boost::json::object& o, std::string_view key) {
  const boost::json::value* v = o.if_contains(key);
  return v && v->is_bool() && v->get_bool();
}

}  // namespace remora

// As much of JSON Schema as docs/*.schema.json use, and stricter: every documented key has to be
// there.
#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace remora {

namespace json = boost::json;

/// Where and how `v` differs from `schema`; empty where it does not.
inline std::string mismatch(const json::value& v, const json::object& schema,
                            const json::object& root, const std::string& where);

inline std::string mismatch_object(const json::object& o, const json::object& schema,
                                   const json::object& root, const std::string& where) {
  const json::object none;
  const json::object& known =
      schema.contains("properties") ? schema.at("properties").as_object() : none;
  for (const auto& field : o) {
    const json::value* rule = known.if_contains(field.key());
    const json::value& rest = schema.at("additionalProperties");
    if (!rule && rest.is_bool()) return where + ": undocumented " + std::string(field.key());
    std::string wrong = mismatch(field.value(), (rule ? *rule : rest).as_object(), root,
                                 where + "/" + std::string(field.key()));
    if (!wrong.empty()) return wrong;
  }
  // Every documented key is always there.
  for (const auto& field : known)
    if (!o.contains(field.key())) return where + ": lacks " + std::string(field.key());
  if (known.size() != (schema.contains("required") ? schema.at("required").as_array().size() : 0))
    return where + ": not all keys are required";
  return {};
}

inline bool is_a(const json::value& v, std::string_view type) {
  if (type == "object") return v.is_object();
  if (type == "array") return v.is_array();
  if (type == "string") return v.is_string();
  if (type == "boolean") return v.is_bool();
  if (type == "integer") return v.is_int64() || v.is_uint64();
  if (type == "number") return v.is_number();
  return type == "null" && v.is_null();
}

inline bool has_type(const json::value& v, const json::value& types) {
  if (types.is_string()) return is_a(v, types.get_string());
  for (const json::value& type : types.as_array())
    if (is_a(v, type.as_string())) return true;
  return false;
}

inline std::string mismatch(const json::value& v, const json::object& schema,
                            const json::object& root, const std::string& where) {
  if (const json::value* ref = schema.if_contains("$ref")) {
    std::string_view name = ref->as_string();
    name.remove_prefix(std::string_view("#/$defs/").size());
    return mismatch(v, root.at("$defs").at(name).as_object(), root, where);
  }
  if (const json::value* any = schema.if_contains("anyOf")) {
    std::string last;
    for (const json::value& one : any->as_array())
      if ((last = mismatch(v, one.as_object(), root, where)).empty()) return {};
    return last;
  }
  if (const json::value* is = schema.if_contains("const"))
    return v == *is ? "" : where + ": not the constant";
  if (const json::value* any = schema.if_contains("enum")) {
    const json::array& all = any->as_array();
    return std::find(all.begin(), all.end(), v) != all.end() ? "" : where + ": not in enum";
  }
  if (!has_type(v, schema.at("type"))) return where + ": of another type";
  if (v.is_object()) return mismatch_object(v.get_object(), schema, root, where);
  if (!v.is_array()) return {};
  const json::array& list = v.get_array();
  if (schema.contains("maxItems") && list.size() > schema.at("maxItems").to_number<std::size_t>())
    return where + ": too many";
  for (const json::value& element : list) {
    std::string wrong = mismatch(element, schema.at("items").as_object(), root, where + "[]");
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace remora

#include "run/yaml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <remora/core/units.hpp>
#include <set>

namespace remora::run {
namespace {

std::string known_keys(std::span<const yaml_reader::field> fields) {
  std::string keys;
  for (const auto& f : fields) keys += (keys.empty() ? "" : ", ") + std::string(f.key);
  return keys;
}

}  // namespace

error yaml_reader::at(const YAML::Node& node, std::string_view what) const {
  const YAML::Mark mark = node.Mark();
  if (mark.is_null()) return fail(errc::usage, fmt::format("{}: {}", file_, what));
  return fail(errc::usage,
              fmt::format("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what));
}

result<void> yaml_reader::map(const YAML::Node& node, std::string_view what,
                              std::span<const field> fields,
                              std::span<const std::string_view> later) const {
  if (!node.IsMap()) return at(node, fmt::format("{} must be a map of keys and values", what));
  std::set<std::string> seen;
  for (const auto& pair : node) {
    std::string key;
    REMORA_CHECK(text(pair.first, key));
    if (!seen.insert(key).second) return at(pair.first, fmt::format("'{}' stands here twice", key));
    if (std::ranges::find(later, key) != later.end())
      return at(pair.first,
                fmt::format("'{}' is not supported by this version of remora; leave it out", key));
    const auto known = std::ranges::find(fields, key, &field::key);
    if (known == fields.end())
      return at(pair.first,
                fmt::format("unknown key '{}' in {}; known are {}", key, what, known_keys(fields)));
    REMORA_CHECK(known->read(pair.second));
  }
  return {};
}

result<void> yaml_reader::text(const YAML::Node& node, std::string& to) const {
  if (!node.IsScalar()) return at(node, "a single value is expected here");
  to = node.Scalar();
  return {};
}

result<void> yaml_reader::flag(const YAML::Node& node, bool& to) const {
  std::string raw;
  REMORA_CHECK(text(node, raw));
  if (raw != "true" && raw != "false")
    return at(node, fmt::format("'{}' is neither true nor false", raw));
  to = raw == "true";
  return {};
}

result<void> yaml_reader::texts(const YAML::Node& node, std::vector<std::string>& to) const {
  if (!node.IsSequence()) return at(node, "a list is expected here, such as [a, b]");
  to.clear();
  for (const YAML::Node& item : node) REMORA_CHECK(text(item, to.emplace_back()));
  return {};
}

result<void> yaml_reader::duration(const YAML::Node& node, std::chrono::milliseconds& to) const {
  REMORA_CHECK(scalar(node, to, parse_duration));
  if (to.count() == 0)
    return at(node, "a duration must be longer than zero; without this key the default holds");
  return {};
}

result<void> yaml_reader::positive(const YAML::Node& node, std::uint32_t& to,
                                   std::uint32_t most) const {
  std::uint64_t value = 0;
  REMORA_CHECK(scalar(node, value, parse_count));
  if (value == 0 || value > most)
    return at(node, fmt::format("a number from 1 to {} is expected here", most));
  to = static_cast<std::uint32_t>(value);
  return {};
}

result<void> yaml_reader::count(const YAML::Node& node, std::uint64_t& to) const {
  REMORA_CHECK(scalar(node, to, parse_count));
  if (to == 0)
    return at(node, "a number above zero is expected here; without this key there is no end");
  return {};
}

result<void> yaml_reader::size(const YAML::Node& node, std::uint64_t& to) const {
  REMORA_CHECK(scalar(node, to, parse_size));
  if (to == 0) return at(node, "a size must be above zero; without this key the default holds");
  return {};
}

result<void> yaml_reader::size(const YAML::Node& node, std::uint64_t& to,
                               std::uint64_t least) const {
  REMORA_CHECK(scalar(node, to, parse_size));
  if (to < least)
    return at(node, fmt::format("a size of {} or more is expected here; without this key there is "
                                "no limit",
                                format_size_exact(least)));
  return {};
}

result<void> yaml_reader::amount(const YAML::Node& node, double& to, bool may_be_zero) const {
  REMORA_CHECK(scalar(node, to, parse_amount));
  if (to == 0 && !may_be_zero)
    return at(node, "an amount above zero is expected here; without this key there is no end");
  return {};
}

}  // namespace remora::run

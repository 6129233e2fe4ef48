// A strict reader of YAML maps: every key is known, read once, and of the right kind, or the error
// says file:line:column. Private to the run room.
#pragma once

#include <yaml-cpp/yaml.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <remora/core/result.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remora::run {

class yaml_reader {
 public:
  explicit yaml_reader(std::string file) : file_(std::move(file)) {}

  struct field {
    std::string_view key;
    std::function<result<void>(const YAML::Node&)> read;
  };

  /// errc::usage with `file:line:column: what`.
  error at(const YAML::Node& node, std::string_view what) const;

  /// Reads a map. `later`: keys of the format that this version does not do yet: refused by name.
  result<void> map(const YAML::Node& node, std::string_view what, std::span<const field> fields,
                   std::span<const std::string_view> later = {}) const;

  // Scalars and lists of the right kind, into `to`. Zero is refused, but for an amount that may be.
  result<void> text(const YAML::Node& node, std::string& to) const;
  result<void> flag(const YAML::Node& node, bool& to) const;
  result<void> texts(const YAML::Node& node, std::vector<std::string>& to) const;
  result<void> duration(const YAML::Node& node, std::chrono::milliseconds& to) const;
  result<void> positive(const YAML::Node& node, std::uint32_t& to, std::uint32_t most) const;
  result<void> count(const YAML::Node& node, std::uint64_t& to) const;
  /// Of bytes, above zero.
  result<void> size(const YAML::Node& node, std::uint64_t& to) const;
  result<void> amount(const YAML::Node& node, double& to, bool may_be_zero) const;
  /// Bytes; less than `least` is refused.
  result<void> size(const YAML::Node& node, std::uint64_t& to, std::uint64_t least) const;
  /// Reads a scalar with `parse(string_view)`; its error gets the place.
  template <class T, class Parse>
  result<void> scalar(const YAML::Node& node, T& to, Parse parse) const {
    std::string raw;
    REMORA_CHECK(text(node, raw));
    auto value = parse(raw);
    if (!value) return at(node, value.error().what);
    to = static_cast<T>(*value);
    return {};
  }

 private:
  std::string file_;
};

}  // namespace remora::run

// One line of an agent's output as JSON, read leniently: a field that is missing or of another
// type reads as empty, for CLIs change theirs between versions. Thread: one parser's.
#pragma once

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace remora::agent {

/// Parses line after line into the same memory.
class json_line {
 public:
  /// The object that `line` holds, valid until the next call; null if it holds anything else, or
  /// nests deeper than 128 levels.
  const boost::json::object* parse(std::string_view line);

 private:
  std::array<unsigned char, 4096> first_;
  /// Made anew for each line: `release` of Boost 1.81 keeps the block size, which doubles with
  /// every block, so that some forty long lines ask for more memory than there is.
  std::optional<boost::json::monotonic_resource> memory_;
  std::optional<boost::json::value> value_;
};

/// `line` with what a JSON parser refuses but Node prints (bytes that are not UTF-8, half a
/// surrogate pair as `\ud83d`, raw control characters) replaced.
std::string mend_json(std::string_view line);

std::string_view text_of(const boost::json::object& o, std::string_view key);
const boost::json::object* object_of(const boost::json::object& o, std::string_view key);
const boost::json::array* array_of(const boost::json::object& o, std::string_view key);
/// Numbers may be written as strings. Nothing for anything else.
std::optional<double> number_of(const boost::json::object& o, std::string_view key);
/// As `number_of`, without sign and fraction; 0 for nothing.
std::uint64_t count_of(const boost::json::object& o, std::string_view key);
bool flag_of(const boost::json::object& o, std::string_view key, bool otherwise);

/// The text of a message's or tool result's `content`: a string, or blocks whose text is joined by
/// newlines; anything else as JSON.
std::string content_text(const boost::json::value* content);

/// A copy that outlives the line (a plain copy would share the line's memory). Invalid UTF-8 is
/// replaced.
boost::json::value keep(const boost::json::value& v);

}  // namespace remora::agent

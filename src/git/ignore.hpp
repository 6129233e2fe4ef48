// One list of ignore rules: a `.gitignore`, `info/exclude`, or the plan's own patterns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

class ignore_list {
 public:
  enum class verdict { none, ignored, kept };  ///< `kept`: the last match is a `!` pattern

  ignore_list() = default;
  /// The lines of an ignore file.
  explicit ignore_list(std::string_view text);

  /// `path`: relative to the list's directory. What is above it must have been asked before: below
  /// an ignored directory nothing is kept.
  verdict match(std::string_view path, bool is_directory) const;
  /// False only if no pattern can match anything below `directory`.
  bool may_match_below(std::string_view directory) const;
  bool empty() const noexcept { return rules_.empty(); }

 private:
  struct rule {
    std::string pattern;  ///< without `!`, and without the slashes that say where
    std::size_t literal;  ///< how much of it has no special character
    bool negative = false;
    bool directory_only = false;
    bool basename = false;  ///< no slash: matches in any directory
  };

  void add(std::string_view line);

  std::vector<rule> rules_;
};

}  // namespace remora::git

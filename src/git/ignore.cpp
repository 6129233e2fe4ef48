#include "git/ignore.hpp"

#include <algorithm>
#include <remora/core/text.hpp>

#include "git/wildmatch.hpp"

namespace remora::git {
namespace {

/// Spaces at the end do not count, unless a backslash stands before them.
std::string_view without_trailing_spaces(std::string_view line) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == ' ') continue;
    if (line[i] == '\\') {
      if (++i == line.size()) return line;
    }
    end = i + 1;
  }
  return line.substr(0, end);
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

ignore_list::ignore_list(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::string_view line : split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = line.substr(0, line.find('\0'));  // git reads C strings
    if (!line.empty() && line.front() != '#') add(without_trailing_spaces(line));
  }
}

void ignore_list::add(std::string_view line) {
  rule r;
  if (line.starts_with('!')) {
    r.negative = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    r.directory_only = true;
    line.remove_suffix(1);
  }
  r.basename = line.find('/') == line.npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (line.empty()) return;
  r.literal = std::min(line.find_first_of("*?[\\"), line.size());
  r.pattern = line;
  rules_.push_back(std::move(r));
}

ignore_list::verdict ignore_list::match(std::string_view path, bool is_directory) const {
  const std::string_view name = base_name(path);
  for (auto r = rules_.rbegin(); r != rules_.rend(); ++r) {
    if (r->directory_only && !is_directory) continue;
    const std::string_view pattern = r->pattern;
    const std::string_view subject = r->basename ? name : path;
    // git compares what comes before the first special character literally and matches the rest by
    // itself: `a**/b` is `a`, then `**/b`.
    const std::size_t literal = r->basename ? 0 : r->literal;
    if (!subject.starts_with(pattern.substr(0, literal))) continue;
    if (!wildmatch(pattern.substr(literal), subject.substr(literal))) continue;
    return r->negative ? verdict::kept : verdict::ignored;
  }
  return verdict::none;
}

bool ignore_list::may_match_below(std::string_view directory) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const rule& r) {
    if (r.negative) return false;
    if (r.basename || r.pattern.find("**") != std::string::npos) return true;
    // Component by component, as far as both go.
    const auto parts = split(r.pattern, '/');
    const auto names = split(directory, '/');
    const std::size_t common = std::min(parts.size(), names.size());
    for (std::size_t i = 0; i < common; ++i)
      if (!wildmatch(parts[i], names[i])) return false;
    return true;
  });
}

}  // namespace remora::git

// Which names in a worktree have changed since they were last looked at.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace remora::git {

/// By directory, as the walk calls them: its path with a slash, the root's empty.
class change_set {
 public:
  using names = std::set<std::string, std::less<>>;

  void add(const std::string& directory, std::string_view name);
  /// Those in `directory` itself; null: none.
  const names* in(std::string_view directory) const;
  /// Any in `directory` or below it.
  bool any_below(std::string_view directory) const;
  /// Rules of `directory` for itself and all below it have changed.
  bool has_new_rules(std::string_view directory) const;

 private:
  std::map<std::string, names, std::less<>> changed_;
};

}  // namespace remora::git

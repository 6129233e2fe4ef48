#include "git/change_set.hpp"

namespace remora::git {

void change_set::add(const std::string& directory, std::string_view name) {
  changed_[directory].emplace(name);
}

const change_set::names* change_set::in(std::string_view directory) const {
  const auto found = changed_.find(directory);
  return found == changed_.end() ? nullptr : &found->second;
}

bool change_set::any_below(std::string_view directory) const {
  const auto first = changed_.lower_bound(directory);
  return first != changed_.end() && first->first.starts_with(directory);
}

bool change_set::has_new_rules(std::string_view directory) const {
  const names* here = in(directory);
  return here && (here->contains(".gitignore") || here->contains(".gitattributes"));
}

}  // namespace remora::git

#include "git/stat_cache.hpp"

#include <algorithm>

namespace remora::git {

const record* directory::find(std::string_view wanted) const noexcept {
  const auto at =
      std::lower_bound(records.begin(), records.end(), wanted,
                       [&](const record& r, std::string_view w) { return name(r) < w; });
  return at != records.end() && name(*at) == wanted ? &*at : nullptr;
}

record& directory::add(std::string_view wanted, record r, directory_ptr below) {
  r.name_offset = static_cast<std::uint32_t>(names.size());
  r.name_size = static_cast<std::uint32_t>(wanted.size());
  names.append(wanted);
  r.child = record::no_child;
  if (below) {
    r.child = static_cast<std::uint32_t>(children.size());
    children.push_back(std::move(below));
  }
  return records.emplace_back(r);
}

void directory::sort() {
  std::sort(records.begin(), records.end(),
            [&](const record& a, const record& b) { return name(a) < name(b); });
}

const record* find_record(const directory& root, std::string_view path) noexcept {
  const directory* at = &root;
  while (at) {
    const std::size_t slash = path.find('/');
    const record* r = at->find(path.substr(0, slash));
    if (!r || slash == path.npos) return r;
    at = r->gone || r->mode != mode::directory ? nullptr : at->child(*r);
    path.remove_prefix(slash + 1);
  }
  return nullptr;
}

}  // namespace remora::git

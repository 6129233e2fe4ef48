#include "git/tracked_anew.hpp"

#include <cstring>

namespace remora::git {
namespace {

bool is_plain(const index_view& index) {
  return index.known() && !index.has_gitlinks() && index.skipped().empty();
}

/// The first component of `path` that `root` has not.
void add_unknown(const directory& root, std::string_view path, change_set& changed) {
  const directory* at = &root;
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    const record* r = at->find(name);
    const directory* below = r && !r->gone && r->mode == mode::directory ? at->child(*r) : nullptr;
    if (r && !r->gone && end == path.size()) return;
    if (!below || end == path.size()) return changed.add(std::string(path.substr(0, begin)), name);
    at = below;
    begin = end + 1;
  }
}

}  // namespace

bool add_tracked_anew(const index_view& before, const index_view& now, const directory& known,
                      change_set& changed) {
  if (!is_plain(before) || !is_plain(now)) return false;
  for (std::size_t i = 0, j = 0; i < now.size(); ++i) {
    const char* path = git_index_get_byindex(now.raw(), i)->path;
    const auto old = [&] { return git_index_get_byindex(before.raw(), j)->path; };
    while (j < before.size() && std::strcmp(old(), path) < 0) ++j;
    if (j == before.size() || std::strcmp(old(), path) != 0) add_unknown(known, path, changed);
  }
  return true;
}

}  // namespace remora::git

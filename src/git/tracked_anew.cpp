#include "git/tracked_anew.hpp"

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
    const auto r = at->find(name);
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
  const index_file* entries = now.file();
  for (std::size_t i = 0; entries && i < entries->size(); ++i)
    if (const std::string_view path = entries->path(i); !before.tracks(path, false))
      add_unknown(known, path, changed);
  return entries != nullptr;
}

}  // namespace remora::git

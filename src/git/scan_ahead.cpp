#include "git/scan_ahead.hpp"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <system_error>

#include "git/tree_watch.hpp"

namespace remora::git {
namespace {

constexpr std::size_t few = 64;
constexpr unsigned most_threads = 3;

void collect(const directory& d, const std::string& prefix, std::vector<std::string>& into) {
  for (const record& r : d.records()) {
    const directory* below = r.gone || r.mode != mode::directory ? nullptr : d.child(r);
    if (!below || below->unread) continue;
    into.push_back(prefix + std::string(r.name));
    collect(*below, into.back() + '/', into);
  }
}

}  // namespace

std::vector<std::string> directories_in(const directory& known) {
  std::vector<std::string> found;
  collect(known, "", found);
  return found;
}

std::vector<std::string> directories_in(const index_view& index) {
  std::vector<std::string> found;
  if (!index.file()) return found;
  for (const std::string_view directory : index.file()->directories())
    found.emplace_back(directory.substr(0, directory.size() - 1));
  return found;
}

scan_ahead::scan_ahead(int root, std::vector<std::string> paths, tree_watch* watch)
    : root_(root), watch_(watch) {
  const unsigned others =
      std::min(std::max(std::thread::hardware_concurrency(), 1u) - 1, most_threads);
  if (others == 0 || paths.size() < few) return;
  places_.reserve(paths.size());
  by_prefix_.reserve(paths.size());
  for (std::string& path : paths) {
    place& made = *places_.emplace_back(std::make_unique<place>());
    by_prefix_.emplace(path + '/', &made);
    made.path = std::move(path);
  }
  left_ = places_.size();
  try {
    for (unsigned i = 0; i < others; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {  // no more threads: the walk does it all
  }
}

scan_ahead::~scan_ahead() {
  left_ = 0;
}

void scan_ahead::work() {
  for (std::size_t i = left_.load(); i > 0;) {
    if (!left_.compare_exchange_weak(i, i - 1)) continue;
    place& here = *places_[i - 1];
    state expected = state::untouched;
    if (!here.at.compare_exchange_strong(expected, state::in_work)) return;  // the walk is here
    here.found = look(here.path);
    here.at = state::seen;
    i = left_.load();
  }
}

std::optional<scan_ahead::listing> scan_ahead::look(const std::string& path) const {
  const auto fd = open_beneath(root_, path, O_RDONLY | O_DIRECTORY);
  struct stat self{};
  if (!fd || ::fstat(fd->get(), &self) != 0) return std::nullopt;
  if (watch_) watch_->add(fd->get(), path + '/');
  listing found;
  found.device = self.st_dev;
  found.inode = self.st_ino;
  if (!found.names.read(fd->get())) return std::nullopt;
  found.stats.resize(found.names.size());
  for (std::size_t i = 0; i < found.names.size(); ++i) {
    struct stat& st = found.stats[i];
    if (found.names.type(i) == DT_DIR) continue;
    if (::fstatat(fd->get(), found.names.c_str(i), &st, AT_SYMLINK_NOFOLLOW) != 0) st = {};
  }
  return found;
}

std::optional<scan_ahead::listing> scan_ahead::take(const std::string& prefix,
                                                    const struct stat& st) {
  const auto at = by_prefix_.find(prefix);
  if (at == by_prefix_.end()) return std::nullopt;
  place& here = *at->second;
  state expected = state::untouched;
  if (here.at.compare_exchange_strong(expected, state::given)) return std::nullopt;
  if (expected != state::seen) return std::nullopt;
  auto found = std::move(here.found);
  here.found.reset();
  here.at = state::given;
  if (found && (found->device != st.st_dev || found->inode != st.st_ino)) found.reset();
  return found;
}

}  // namespace remora::git

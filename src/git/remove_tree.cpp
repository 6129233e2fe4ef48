#include "git/remove_tree.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <remora/core/text.hpp>

#include "git/careful.hpp"

namespace remora::git {
namespace {

/// Deeper directories are moved up to the top first: an agent can nest more of them than a process
/// has descriptors.
constexpr int deepest = 32;

class remover {
 public:
  explicit remover(int top) : top_(top) {}

  /// Empties `dir`.
  result<void> empty(int dir, int depth) {
    name_list names;
    REMORA_CHECK(names.read(dir));
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (::unlinkat(dir, names.c_str(i), 0) == 0 || errno == ENOENT) continue;
      if (errno == EACCES) ::fchmod(dir, 0700);  // a read-only directory, as module caches have
      REMORA_CHECK(remove(dir, std::string(names.name(i)), depth));
    }
    return {};
  }

  /// Something was moved to the top since the last call.
  bool moved() { return std::exchange(moved_, false); }

 private:
  result<void> remove(int dir, const std::string& name, int depth) {
    struct stat st{};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return failed(name);
    }
    if (!S_ISDIR(st.st_mode)) {
      if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return {};
      return failed(name);
    }
    if (depth >= deepest) {
      moved_ = true;
      ::fchmodat(dir, name.c_str(), 0700, 0);  // a directory that moves is written: its `..`
      if (::renameat(dir, name.c_str(), top_, temporary_name().c_str()) == 0) return {};
      return failed(name);
    }
    auto below = open_to_empty(dir, name);
    if (!below && below.error().is_errno(EACCES)) {
      ::fchmodat(dir, name.c_str(), 0700, 0);
      below = open_to_empty(dir, name);
    }
    if (!below) return below.error();
    REMORA_CHECK(empty(below->get(), depth + 1));
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return failed(name);
    return {};
  }

  static error failed(const std::string& name) {
    return os_error(errno, fmt::format("cannot remove {}", to_utf8(name)));
  }

  int top_;
  bool moved_ = false;
};

}  // namespace

result<void> remove_tree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  auto top = open_to_empty(parent, name);
  if (!top && top.error().is_errno(EACCES)) {
    ::fchmodat(parent, name.c_str(), 0700, 0);
    top = open_to_empty(parent, name);
  }
  if (!top) return top.error();
  remover work(top->get());
  do {
    REMORA_CHECK(work.empty(top->get(), 0));
  } while (work.moved());
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return os_error(errno, fmt::format("cannot remove {}", to_utf8(name)));
  return {};
}

}  // namespace remora::git

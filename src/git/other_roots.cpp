#include "git/other_roots.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "git/careful.hpp"
#include "git/index_file.hpp"
#include "git/pack_files.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t id_digits = 40;
constexpr std::size_t most_bytes = 256 << 20;
/// A lock that says nothing whole for longer is a dead git's.
constexpr std::chrono::minutes longest_write{15};
constexpr std::size_t most_index_bytes = std::size_t{1} << 30;

bool is_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/// As git names what an operation leaves in a git directory: `AUTO_MERGE`, `CHERRY_PICK_HEAD`. A
/// message may quote anything.
bool is_pseudo_ref(std::string_view name) {
  return !name.ends_with("MSG") &&
         std::ranges::all_of(name, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
}

bool is_new_index(std::string_view name) {
  return name.ends_with(".lock") && (name.starts_with("index") || name.starts_with("next-index"));
}

class finder {
 public:
  result<bool> look(const fs::path& git_dir, bool has_own_refs) {
    REMORA_TRY(const unique_fd dir, open_file(git_dir, O_RDONLY | O_DIRECTORY));
    name_list names;
    REMORA_CHECK(names.read(dir.get()));
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name(names.name(i));
      if (is_pseudo_ref(name)) REMORA_CHECK(take_file(dir.get(), name));
      if (!is_new_index(name)) continue;
      REMORA_TRY(const bool whole, take_index(dir.get(), name));
      if (!whole) return false;
    }
    for (const char* below : {"rebase-merge", "rebase-apply", "sequencer"})
      REMORA_CHECK(take_all(dir.get(), below));
    if (has_own_refs) REMORA_CHECK(take_all(dir.get(), "refs"));
    return true;
  }

  std::vector<oid> found() && { return std::move(found_); }

 private:
  /// Every word in it that is an id.
  void take(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const auto* end = std::find_if_not(text.begin() + at, text.end(), is_digit);
      const auto size = static_cast<std::size_t>(end - text.begin()) - at;
      if (size == id_digits)
        if (const auto id = oid::parse(text.substr(at, size))) found_.push_back(*id);
      at += size + 1;
    }
  }

  result<void> take_file(int dir, const std::string& path) {
    const auto text = read_regular(dir, path, most_bytes);
    if (text)
      take(*text);
    else if (!is_nothing(text.error()))
      return text.error();
    return {};
  }

  result<void> take_all(int git_dir, const std::string& path) {
    const auto dir = open_beneath(git_dir, path, O_RDONLY | O_DIRECTORY);
    if (!dir) return is_nothing(dir.error()) ? result<void>() : dir.error();
    name_list names;
    REMORA_CHECK(names.read(dir->get()));
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name(names.name(i));
      REMORA_CHECK(take_file(dir->get(), name));
      REMORA_CHECK(take_all(dir->get(), name));
    }
    return {};
  }

  /// True: all that it will name, or it is gone, or a dead git's.
  result<bool> take_index(int dir, const std::string& name) {
    auto bytes = read_regular(dir, name, most_index_bytes);
    if (!bytes) return is_nothing(bytes.error()) ? result<bool>(true) : bytes.error();
    const auto index = index_file::parse(std::move(*bytes));
    if (!index || !index->is_intact()) return !is_recent(dir, name);
    for (std::size_t i = 0; i < index->size(); ++i) found_.push_back(index->at(i).id);
    return true;
  }

  static bool is_recent(int dir, const std::string& name) {
    struct stat st{};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    return is_younger(st.st_mtim, longest_write);
  }

  /// Gone meanwhile, of another kind, or a link to elsewhere: git reads nothing there either.
  static bool is_nothing(const error& e) {
    return e.is(errc::unsupported) || e.is_errno(ENOENT) || e.is_errno(ENOTDIR) ||
           e.is_errno(ELOOP) || e.is_errno(EXDEV) || e.is_errno(ENXIO);
  }

  std::vector<oid> found_;
};

}  // namespace

result<std::optional<std::vector<oid>>> other_roots(const fs::path& common_dir) {
  finder all;
  REMORA_TRY(bool whole, all.look(common_dir, false));
  const auto worktrees = open_file(common_dir / "worktrees", O_RDONLY | O_DIRECTORY);
  if (!worktrees && !worktrees.error().is_errno(ENOENT)) return worktrees.error();
  name_list names;
  if (worktrees) REMORA_CHECK(names.read(worktrees->get()));
  for (std::size_t i = 0; i < names.size() && whole; ++i) {
    const auto one = all.look(common_dir / "worktrees" / std::string(names.name(i)), true);
    const bool gone = !one && (one.error().is_errno(ENOENT) || one.error().is_errno(ENOTDIR));
    if (!one && !gone) return one.error();
    whole = gone || *one;
  }
  if (!whole) return std::optional<std::vector<oid>>();
  return std::optional(std::move(all).found());
}

}  // namespace remora::git

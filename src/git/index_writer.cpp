// Writing a worktree's index so that `git status` there says what it said where it was taken.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <remora/core/text.hpp>

#include "git/look_twice.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

/// libgit2 writes an index only to a path of its own, with a lock file beside it. In the worktree's
/// git directory: what a crash leaves goes with that.
class private_directory {
 public:
  explicit private_directory(int git_dir)
      : path_(fmt::format("/proc/self/fd/{}/remora-index-XXXXXX", git_dir)) {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  private_directory(const private_directory&) = delete;
  private_directory& operator=(const private_directory&) = delete;
  ~private_directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  bool made() const { return !path_.empty(); }
  std::filesystem::path file() const { return std::filesystem::path(path_) / "index"; }

 private:
  std::string path_;
};

error failed(int code) {
  return git_failure(code, "cannot make the index");
}

stamp stamp_in(const git_index_entry& e) {
  const auto time = [](const git_index_time& t) {
    return std::int64_t{t.seconds} * 1'000'000'000 + t.nanoseconds;
  };
  return {e.ino, e.file_size, time(e.mtime), time(e.ctime)};
}

class index_builder {
 public:
  index_builder(git_index* index, int root, const directory& now)
      : index_(index), root_(root), now_(now) {}

  /// Entries that are unchanged keep their stats: `git_index_read_tree` leaves those alone.
  result<void> head(const repository& repo, const oid& tree) {
    if (tree.is_zero()) {
      if (const int code = git_index_clear(index_); code != 0) return failed(code);
      return {};
    }
    const git_oid id = to_git(tree);
    git_tree* raw = nullptr;
    const int found = look_twice(repo, [&] { return git_tree_lookup(&raw, repo.raw(), &id); });
    if (found != 0) return failed(found);
    const tree_handle owner(raw);
    const int read = look_twice(repo, [&] { return git_index_read_tree(index_, raw); });
    if (read != 0) return failed(read);
    return {};
  }

  result<void> apply(const index_state& state) {
    for (const std::string& path : state.removed) REMORA_CHECK(drop(path));
    for (const index_entry& e : state.entries)
      if (e.stage != 0) REMORA_CHECK(drop(e.path));
    for (const index_entry& e : state.entries) REMORA_CHECK(add(e));
    return {};
  }

  /// Every entry says how its file looks now, if that is what the entry names, and nothing else.
  result<void> stats() {
    const std::size_t count = git_index_entrycount(index_);
    for (std::size_t i = 0; i < count; ++i) {
      const git_index_entry* e = git_index_get_byindex(index_, i);
      if (git_index_entry_stage(e) != 0 || static_cast<mode>(e->mode) == mode::commit) continue;
      const auto r = find_record(now_, e->path);
      const bool same = r && !r->gone && !r->kept && r->stamp.inode != 0 &&
                        r->id == from_git(e->id) && r->mode == static_cast<mode>(e->mode);
      if (same && truncated(r->stamp) == stamp_in(*e)) continue;
      if (!same && e->ino == 0) continue;
      git_index_entry changed = *e;
      struct stat st{};
      const bool settled = same && ::fstatat(root_, e->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                           stamp_of(st) == r->stamp;
      if (!settled) st = {};
      set_stat(changed, st);
      REMORA_CHECK(put(changed));
    }
    return {};
  }

 private:
  result<void> drop(const std::string& path) {
    if (git_index_remove(index_, path.c_str(), 0) != 0) git_error_clear();  // not there: as wanted
    return {};
  }

  result<void> add(const index_entry& e) {
    git_index_entry out{};
    if (const auto* old = git_index_get_bypath(index_, e.path.c_str(), e.stage);
        old && from_git(old->id) == e.id && static_cast<mode>(old->mode) == e.mode)
      out = *old;
    const std::string path = e.path;
    out.path = path.c_str();
    out.mode = static_cast<std::uint32_t>(e.mode);
    out.id = to_git(e.id);
    GIT_INDEX_ENTRY_STAGE_SET(&out, e.stage);
    out.flags = static_cast<std::uint16_t>(out.flags & ~GIT_INDEX_ENTRY_VALID);
    if (e.assume_unchanged) out.flags |= GIT_INDEX_ENTRY_VALID;
    out.flags_extended = 0;
    if (e.intent_to_add) out.flags_extended |= GIT_INDEX_ENTRY_INTENT_TO_ADD;
    if (e.skip_worktree) out.flags_extended |= GIT_INDEX_ENTRY_SKIP_WORKTREE;
    return put(out);
  }

  result<void> put(const git_index_entry& e) {
    if (const int code = git_index_add(index_, &e); code != 0) return failed(code);
    return {};
  }

  git_index* index_;
  int root_;
  const directory& now_;
};

/// Flags of an older entry with the same object are not HEAD's.
void clear_flags(git_index* index) {
  const std::size_t count = git_index_entrycount(index);
  for (std::size_t i = 0; i < count; ++i) {
    const git_index_entry* e = git_index_get_byindex(index, i);
    if ((e->flags & GIT_INDEX_ENTRY_VALID) == 0 && e->flags_extended == 0) continue;
    git_index_entry plain = *e;
    plain.flags = static_cast<std::uint16_t>(plain.flags & ~GIT_INDEX_ENTRY_VALID);
    plain.flags_extended = 0;
    git_index_add(index, &plain);
  }
}

}  // namespace

void set_stat(git_index_entry& e, const struct stat& st) {
  e.ctime = {static_cast<std::int32_t>(st.st_ctim.tv_sec),
             static_cast<std::uint32_t>(st.st_ctim.tv_nsec)};
  e.mtime = {static_cast<std::int32_t>(st.st_mtim.tv_sec),
             static_cast<std::uint32_t>(st.st_mtim.tv_nsec)};
  e.dev = static_cast<std::uint32_t>(st.st_dev);
  e.ino = static_cast<std::uint32_t>(st.st_ino);
  e.uid = st.st_uid;
  e.gid = st.st_gid;
  e.file_size = static_cast<std::uint32_t>(st.st_size);
}

result<void> write_index(const repository& repo, int root, int git_dir, const oid& head_tree,
                         const index_state& state, const directory& now, index_view old_index) {
  const private_directory scratch(git_dir);
  if (!scratch.made()) return os_error(errno, "cannot make a temporary directory for the index");
  if (old_index.known() && old_index.identity().exists) {
    auto bytes = read_regular(git_dir, "index", std::size_t{1} << 30);
    if (!bytes) return bytes.error();
    REMORA_CHECK(write_file_durably(scratch.file(), *bytes));
  }
  git_index* raw = nullptr;
  if (const int code = git_index_open(&raw, scratch.file().c_str()); code != 0) return failed(code);
  const index_handle index(raw);
  index_builder build(raw, root, now);
  REMORA_CHECK(build.head(repo, head_tree));
  clear_flags(raw);
  REMORA_CHECK(build.apply(state));
  REMORA_CHECK(build.stats());
  if (const int code = git_index_write(raw); code != 0) return failed(code);
  REMORA_TRY(const std::string bytes, read_file(scratch.file()));
  return replace_file(git_dir, "index", bytes, 0666);
}

}  // namespace remora::git

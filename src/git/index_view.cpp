#include "git/index_view.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <remora/core/text.hpp>

#include "git/careful.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_index_bytes = std::size_t{1} << 30;
constexpr std::int64_t second = 1'000'000'000;

std::int64_t index_time(const git_index_time& t) {
  return std::int64_t{t.seconds} * second + t.nanoseconds;
}

std::int64_t truncated_time(std::int64_t ns) {
  const std::int64_t part = ((ns % second) + second) % second;
  return std::int64_t{static_cast<std::int32_t>((ns - part) / second)} * second + part;
}

int stage_of(const git_index_entry& e) {
  return git_index_entry_stage(&e);
}

/// libgit2 opens by name only; this name is of bytes that nobody else can reach.
result<index_handle> open_copy(std::string_view bytes) {
  const unique_fd copy(::memfd_create("index", MFD_CLOEXEC));
  if (!copy) return os_error(errno, "cannot make a private copy of the index");
  REMORA_CHECK(write_all(copy.get(), bytes));
  git_index* raw = nullptr;
  const std::string name = fmt::format("/proc/self/fd/{}", copy.get());
  if (const int code = git_index_open(&raw, name.c_str()); code != 0)
    return git_failure(code, "the index cannot be read");
  return index_handle(raw);
}

result<index_handle> empty_index() {
  git_index* raw = nullptr;
  if (const int code = git_index_new(&raw); code != 0)
    return git_failure(code, "cannot make an index");
  return index_handle(raw);
}

result<index_handle> open_index(int git_dir, const file_identity& identity) {
  if (!identity.exists) return empty_index();
  auto bytes = read_regular(git_dir, "index", max_index_bytes);
  if (!bytes) return bytes.error();
  return open_copy(*bytes);
}

/// Index entries and a tree, both in git's order of paths.
class comparison {
 public:
  comparison(const repository& repo, const index_view& index) : repo_(repo), index_(index) {}

  result<index_state> run(const oid& tree) {
    state_.known = true;
    if (!tree.is_zero()) REMORA_CHECK(walk("", tree));
    while (next()) take_entry(nullptr);
    return std::move(state_);
  }

 private:
  const git_index_entry* next() const {
    return at_ < index_.size() ? git_index_get_byindex(index_.raw(), at_) : nullptr;
  }

  result<void> walk(const std::string& prefix, const oid& tree) {
    REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(tree));
    for (const tree_entry& e : entries) {
      const std::string path = prefix + e.name;
      if (e.mode != mode::directory) {
        meet(path, e);
        continue;
      }
      REMORA_CHECK(walk(path + '/', e.id));
    }
    return {};
  }

  void meet(const std::string& path, const tree_entry& e) {
    while (next() && next()->path < path) take_entry(nullptr);
    if (!next() || next()->path != path) {
      state_.removed.push_back(path);
      return;
    }
    while (next() && next()->path == path) take_entry(&e);
  }

  /// `same_path`: the tree's entry there.
  void take_entry(const tree_entry* same_path) {
    const git_index_entry& e = *next();
    ++at_;
    index_entry out;
    out.path = e.path;
    out.stage = stage_of(e);
    out.mode = static_cast<git::mode>(e.mode);
    out.id = from_git(e.id);
    out.intent_to_add = (e.flags_extended & GIT_INDEX_ENTRY_INTENT_TO_ADD) != 0;
    out.skip_worktree = (e.flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0;
    out.assume_unchanged = (e.flags & GIT_INDEX_ENTRY_VALID) != 0;
    const bool flagged =
        out.stage != 0 || out.intent_to_add || out.skip_worktree || out.assume_unchanged;
    if (same_path && !flagged && out.mode == same_path->mode && out.id == same_path->id) return;
    state_.entries.push_back(std::move(out));
  }

  const repository& repo_;
  const index_view& index_;
  std::size_t at_ = 0;
  index_state state_;
};

}  // namespace

file_identity identity_at(int dir, const char* name) {
  struct stat st{};
  if (::fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return {};
  return {true, stamp_of(st), st.st_dev};
}

stamp truncated(const stamp& full) {
  return {static_cast<std::uint32_t>(full.inode), static_cast<std::uint32_t>(full.size),
          truncated_time(full.modified_ns), truncated_time(full.changed_ns)};
}

result<index_view> index_view::read(int git_dir) {
  index_view view;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  view.identity_ = identity_at(git_dir, "index");
  const git::stamp& s = view.identity_.stamp;
  view.settled_ = std::max(s.modified_ns, s.changed_ns) < nanoseconds(now);
  auto opened = open_index(git_dir, view.identity_);
  if (!opened) {
    if (is_lack(opened.error())) return opened.error();
    view.note_ = opened.error().what;
    view.unread_ = opened.error().is_errno(EIO) || opened.error().is_errno(EACCES);
    view.may_be_sparse_ = identity_at(git_dir, "info/sparse-checkout").exists;
    return view;
  }
  view.index_ = std::move(*opened);
  view.survey();
  return view;
}

void index_view::survey() {
  const std::size_t count = size();
  for (std::size_t i = 0; i < count; ++i) {
    const git_index_entry* e = git_index_get_byindex(raw(), i);
    if (stage_of(*e) != 0) continue;
    if (static_cast<git::mode>(e->mode) == mode::commit) gitlinks_ = true;
    if ((e->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0) skipped_.push_back(e);
  }
}

const git_index_entry* index_view::find(const std::string& path) const {
  return index_ ? git_index_get_bypath(raw(), path.c_str(), 0) : nullptr;
}

bool index_view::tracks(const std::string& path, bool is_directory) const {
  if (!index_) return false;
  std::size_t position = 0;
  if (git_index_find(&position, raw(), path.c_str()) == 0) return true;
  const bool below =
      is_directory && git_index_find_prefix(&position, raw(), (path + '/').c_str()) == 0;
  git_error_clear();
  return below;
}

std::optional<stamp> index_view::stamp_of_entry(const git_index_entry& entry) const {
  static const oid empty_blob = *oid::parse("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  const stamp s{entry.ino, entry.file_size, index_time(entry.mtime), index_time(entry.ctime)};
  if (s.inode == 0 || (s.size == 0 && from_git(entry.id) != empty_blob)) return std::nullopt;
  const std::int64_t written = truncated_time(identity_.stamp.modified_ns);
  // Some tools write whole seconds: then only the second is known.
  const bool whole = entry.mtime.nanoseconds == 0 && entry.ctime.nanoseconds == 0;
  const std::int64_t limit = whole ? written - written % second : written;
  if (s.modified_ns >= limit || s.changed_ns >= limit) return std::nullopt;
  return s;
}

result<index_state> compare_with_tree(const repository& repo, const index_view& index,
                                      const oid& head_tree) {
  if (index.known()) return comparison(repo, index).run(head_tree);
  index_state state;
  state.note = index.note();
  return state;
}

}  // namespace remora::git

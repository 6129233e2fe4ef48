#include "git/index_view.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "git/careful.hpp"
#include "git/shared_trees.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_index_bytes = std::size_t{1} << 30;
constexpr std::int64_t second = 1'000'000'000;

std::int64_t truncated_time(std::int64_t ns) {
  const std::int64_t part = ((ns % second) + second) % second;
  return std::int64_t{static_cast<std::int32_t>((ns - part) / second)} * second + part;
}

result<index_file> parse_at(int git_dir, const file_identity& identity) {
  if (!identity.exists) return index_file();
  REMORA_TRY(std::string bytes, read_regular(git_dir, "index", max_index_bytes));
  return index_file::parse(std::move(bytes));
}

index_entry entry_of(const index_file::entry& e) {
  index_entry out;
  out.path = e.path;
  out.stage = e.stage;
  out.mode = e.mode;
  out.id = e.id;
  out.intent_to_add = e.intent_to_add;
  out.skip_worktree = e.skip_worktree;
  out.assume_unchanged = e.assume_unchanged;
  return out;
}

/// Index entries and a tree, both in git's order of paths.
class comparison {
 public:
  comparison(const repository& repo, const index_file& index) : repo_(repo), index_(index) {}

  result<index_state> run(const oid& tree) {
    state_.known = true;
    if (!tree.is_zero()) REMORA_CHECK(walk("", tree));
    while (more()) take_entry(nullptr);
    return std::move(state_);
  }

 private:
  bool more() const { return at_ < index_.size(); }
  std::string_view next() const { return index_.path(at_); }

  /// What a sparse checkout leaves out may be most of a repository: a directory of HEAD that is
  /// left out as a whole is one entry, as in a sparse index of git's.
  result<void> walk(const std::string& prefix, const oid& tree) {
    const std::size_t first = at_, skipped = skipped_, entries = state_.entries.size();
    const std::size_t removed = state_.removed.size();
    REMORA_CHECK(walk_all(prefix, tree));
    const std::size_t count = at_ - first;
    const bool is_one = !prefix.empty() && count > 0 && skipped_ - skipped == count &&
                        state_.removed.size() == removed;
    if (!is_one) return {};
    state_.entries.resize(entries);
    index_entry whole;
    whole.path = prefix.substr(0, prefix.size() - 1);
    whole.mode = mode::directory;
    whole.id = tree;
    whole.skip_worktree = true;
    state_.entries.push_back(std::move(whole));
    return {};
  }

  result<void> walk_all(const std::string& prefix, const oid& tree) {
    const index_file::directory* same = index_.below(prefix);
    if (same && same->tree == tree && is_uniform(*same) && repo_.exists(tree)) {
      take_same(*same);
      return {};
    }
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

  /// None of its entries has a flag, or each: what has one and what has not is told apart below.
  bool is_uniform(const index_file::directory& here) const {
    const auto flagged = index_.flagged();
    const auto count =
        std::ranges::lower_bound(flagged, here.end) - std::ranges::lower_bound(flagged, here.begin);
    return count == 0 || static_cast<std::size_t>(count) == here.end - here.begin;
  }

  /// All entries of a directory are those of its tree: what is left is their flags.
  void take_same(const index_file::directory& here) {
    while (at_ < here.begin) take_entry(nullptr);
    const auto flagged = index_.flagged();
    for (auto i = std::ranges::lower_bound(flagged, here.begin);
         i != flagged.end() && *i < here.end; ++i)
      if (const auto e = index_.at(*i); e.is_flagged()) add(e, true);
    at_ = here.end;
  }

  void meet(const std::string& path, const tree_entry& e) {
    while (more() && next() < path) take_entry(nullptr);
    if (!more() || next() != path) {
      state_.removed.push_back(path);
      return;
    }
    while (more() && next() == path) take_entry(&e);
  }

  /// `same_path`: the tree's entry there.
  void take_entry(const tree_entry* same_path) {
    const index_file::entry e = index_.at(at_++);
    const bool same = same_path && e.mode == same_path->mode && e.id == same_path->id;
    if (!same || e.is_flagged()) add(e, same);
  }

  /// `same`: but for its flags it is the tree's.
  void add(const index_file::entry& e, bool same) {
    const bool only_skipped = e.skip_worktree && e.stage == 0 && !e.assume_unchanged;
    if (same && only_skipped && !e.intent_to_add) ++skipped_;
    state_.entries.push_back(entry_of(e));
  }

  const repository& repo_;
  const index_file& index_;
  std::size_t at_ = 0;
  std::size_t skipped_ = 0;  ///< entries so far that a sparse checkout leaves out, and HEAD has
  index_state state_;
};

std::size_t hash_of(std::string_view path) {
  return std::hash<std::string_view>()(path);
}

shared_trees::hashes hashes_of(const index_file& index) {
  shared_trees::hashes hashes;
  const std::vector<std::string_view> directories = index.directories();
  hashes.reserve(index.size() + directories.size());
  for (std::size_t i = 0; i < index.size(); ++i) hashes.push_back(hash_of(index.path(i)));
  for (const std::string_view directory : directories) hashes.push_back(hash_of(directory));
  std::ranges::sort(hashes);
  return hashes;
}

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
  auto parsed = parse_at(git_dir, view.identity_);
  if (parsed && !parsed->is_intact())
    parsed = fail(errc::corrupt, "the index cannot be read: its checksum is wrong");
  if (!parsed) {
    if (is_lack(parsed.error())) return parsed.error();
    view.note_ = parsed.error().what;
    view.unread_ = parsed.error().is_errno(EIO) || parsed.error().is_errno(EACCES);
    view.may_be_sparse_ = identity_at(git_dir, "info/sparse-checkout").exists;
    return view;
  }
  view.known_ = true;
  view.file_ = std::move(*parsed);
  view.survey();
  return view;
}

void index_view::survey() {
  for (std::size_t i = 0; i < file_->size(); ++i) {
    if (file_->mode_at(i) != mode::commit) continue;
    if (const auto e = file_->at(i); e.stage == 0) gitlinks_.emplace(e.path, e.id);
  }
  for (const std::uint32_t i : file_->flagged())
    if (const auto e = file_->at(i); e.stage == 0 && e.skip_worktree)
      skipped_.push_back(entry_of(e));
}

void index_view::release(shared_trees* others) {
  if (!file_) return;
  const index_file::directory* all = others ? file_->below("") : nullptr;
  const auto make = [this] { return hashes_of(*file_); };
  hashes_ = all && !all->tree.is_zero() ? others->of_index(all->tree, make)
                                        : std::make_shared<const shared_trees::hashes>(make());
  file_.reset();
}

bool index_view::tracks(std::string_view path, bool is_directory) const {
  const std::string below = is_directory ? std::string(path) + '/' : std::string();
  if (!file_)
    return hashes_ && (std::ranges::binary_search(*hashes_, hash_of(path)) ||
                       (is_directory && std::ranges::binary_search(*hashes_, hash_of(below))));
  const auto has = [this](std::string_view wanted, bool whole) {
    const std::size_t i = file_->lower_bound(wanted);
    if (i == file_->size()) return false;
    return whole ? file_->path(i) == wanted : file_->path(i).starts_with(wanted);
  };
  return has(path, true) || (is_directory && has(below, false));
}

const oid* index_view::gitlink(std::string_view path) const {
  const auto found = gitlinks_.find(path);
  return found == gitlinks_.end() ? nullptr : &found->second;
}

std::optional<stamp> index_view::stamp_of_entry(const index_file::entry& entry) const {
  static const oid empty_blob = *oid::parse("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  const stamp& s = entry.stamp;
  if (s.inode == 0 || (s.size == 0 && entry.id != empty_blob)) return std::nullopt;
  const std::int64_t written = truncated_time(identity_.stamp.modified_ns);
  // Some tools write whole seconds: then only the second is known.
  const std::int64_t limit = entry.whole_seconds ? written - written % second : written;
  if (s.modified_ns >= limit || s.changed_ns >= limit) return std::nullopt;
  return s;
}

result<index_state> compare_with_tree(const repository& repo, const index_view& index,
                                      const oid& head_tree) {
  if (const index_file* file = index.file()) return comparison(repo, *file).run(head_tree);
  index_state state;
  state.note = index.note();
  return state;
}

}  // namespace remora::git

// Writing a worktree's index so that `git status` there says what it said where it was taken.
#include "git/index_writer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <remora/core/text.hpp>
#include <set>

#include "git/careful.hpp"

namespace remora::git {
namespace {

bool is_safe_path(const index_entry& e) {
  const std::string_view path = e.path;
  return std::ranges::all_of(split(path, '/'), [&](std::string_view part) {
    return is_safe_name(part, e.mode == mode::symlink && part.end() == path.end());
  });
}

/// The entries of HEAD's tree and those that are staged over it.
class staging {
 public:
  staging(const repository& repo, const index_state& state, std::vector<omission>& refused)
      : repo_(repo), refused_(refused) {
    for (const index_entry& e : state.entries) {
      changed_.insert(e.path);
      if (is_safe_path(e))
        entries_.push_back(e);
      else
        refuse(e.path);
    }
    changed_.insert(state.removed.begin(), state.removed.end());
  }

  /// What of the tree is not changed.
  result<void> add(const std::string& prefix, const oid& tree) {
    REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(tree));
    for (const tree_entry& e : entries) {
      const std::string path = prefix + e.name;
      if (!is_safe_name(e.name, e.mode == mode::symlink)) {
        refuse(path);
      } else if (e.mode == mode::directory) {
        REMORA_CHECK(add(path + '/', e.id));
      } else if (!changed_.contains(path)) {
        index_entry& head = entries_.emplace_back();
        head.path = path;
        head.mode = e.mode;
        head.id = e.id;
      }
    }
    return {};
  }

  /// In order, and nothing that contradicts what comes before it.
  std::vector<index_entry> finish() && {
    if (!std::ranges::is_sorted(entries_)) std::ranges::sort(entries_);
    std::vector<index_entry> good;
    good.reserve(entries_.size());
    std::vector<std::size_t> above;  // good files whose paths the next one may begin with
    for (index_entry& e : entries_) {
      while (!above.empty() && !e.path.starts_with(good[above.back()].path)) above.pop_back();
      const bool below_a_file = std::ranges::any_of(above, [&](std::size_t i) {
        const std::size_t end = good[i].path.size();
        return e.path.size() > end && e.path[end] == '/';
      });
      const index_entry* last = good.empty() ? nullptr : &good.back();
      const bool twice =
          last && last->path == e.path && (last->stage == 0 || last->stage == e.stage);
      if (twice || (below_a_file && e.stage == 0)) {
        refuse(e.path);
        continue;
      }
      if (e.stage == 0) above.push_back(good.size());
      good.push_back(std::move(e));
    }
    return good;
  }

 private:
  void refuse(const std::string& path) {
    refused_.push_back({path, "not staged: git refuses it in an index"});
  }

  const repository& repo_;
  std::vector<omission>& refused_;
  std::set<std::string, std::less<>> changed_;
  std::vector<index_entry> entries_;
};

/// How the files of an index look.
class stat_source {
 public:
  stat_source(int root, const directory& now, const index_file* old)
      : root_(root), now_(now), old_(old) {}

  /// If the file is what the entry says; else git must look. They are asked for in order.
  std::string of(const index_entry& e) {
    if (e.stage != 0) return {};
    const auto before = old_stat(e);
    if (e.mode == mode::commit) return std::string(before ? before->bytes : "");
    const auto r = find_record(now_, e.path);
    if (!r || r->gone || r->kept || r->stamp.inode == 0 || r->id != e.id || r->mode != e.mode)
      return {};
    if (before && before->stamp == truncated(r->stamp)) return std::string(before->bytes);
    struct stat st{};
    const bool settled =
        ::fstatat(root_, e.path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && stamp_of(st) == r->stamp;
    return settled ? recorded_stat(st, e.mode) : std::string();
  }

 private:
  struct known_stat {
    git::stamp stamp;
    std::string_view bytes;
  };

  /// Of the old index's same entry.
  std::optional<known_stat> old_stat(const index_entry& e) {
    if (!old_) return std::nullopt;
    while (at_ < old_->size() && old_->path(at_) < e.path) ++at_;
    if (at_ == old_->size() || old_->path(at_) != e.path) return std::nullopt;
    const index_file::entry there = old_->at(at_);
    if (there.stage != 0 || there.id != e.id || there.mode != e.mode) return std::nullopt;
    return known_stat{there.stamp, old_->stat_at(at_)};
  }

  int root_;
  const directory& now_;
  const index_file* old_;
  std::size_t at_ = 0;  ///< in the old index
};

}  // namespace

result<std::vector<index_entry>> staged_entries(const repository& repo, const oid& head_tree,
                                                const index_state& state,
                                                std::vector<omission>& refused) {
  staging all(repo, state, refused);
  if (!head_tree.is_zero()) REMORA_CHECK(all.add("", head_tree));
  return std::move(all).finish();
}

result<void> write_index(int root, int git_dir, const std::vector<index_entry>& entries,
                         const directory& now, const index_view& old) {
  stat_source stats(root, now, old.file());
  new_index made;
  for (const index_entry& e : entries) made.add(e, stats.of(e));
  return replace_file(git_dir, "index", std::move(made).finish(), 0666);
}

}  // namespace remora::git

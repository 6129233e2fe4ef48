// A worktree's index, from bytes read carefully: libgit2 only sees a private copy (G20).
#pragma once

#include <optional>
#include <remora/git/manifest.hpp>
#include <string>
#include <vector>

#include "git/handles.hpp"
#include "git/stat_cache.hpp"

namespace remora::git {

/// When a file of git's own is the same file, unchanged.
struct file_identity {
  bool exists = false;
  git::stamp stamp;
  std::uint64_t device = 0;
  bool operator==(const file_identity&) const = default;
};

file_identity identity_at(int dir, const char* name);

class index_view {
 public:
  /// The index in the git directory open as `git_dir`. An index that cannot be read is one that is
  /// not `known`; an absent one is empty, as it is for git. Errors: errno of a lack of descriptors
  /// or memory.
  static result<index_view> read(int git_dir);

  bool known() const noexcept { return index_ != nullptr; }
  const std::string& note() const noexcept { return note_; }
  /// Not known because its file cannot be read; else because of what is in it, or what it is.
  bool unread() const noexcept { return unread_; }
  /// Not known, and it may be of a sparse checkout: then an absent file need not be a deletion. So
  /// for a sparse index, which has entries for whole directories, and which libgit2 refuses.
  bool may_be_sparse() const noexcept { return may_be_sparse_; }
  const file_identity& identity() const noexcept { return identity_; }
  /// The file was older than its reading: the same identity later means the same bytes.
  bool settled() const noexcept { return settled_; }
  git_index* raw() const noexcept { return index_.get(); }
  std::size_t size() const noexcept { return index_ ? git_index_entrycount(raw()) : 0; }

  /// Stage 0, or nothing.
  const git_index_entry* find(const std::string& path) const;
  /// An entry of any stage is at `path` or below it.
  bool tracks(const std::string& path, bool is_directory) const;
  bool has_gitlinks() const noexcept { return gitlinks_; }
  /// Entries that a sparse checkout leaves out, sorted by path.
  const std::vector<const git_index_entry*>& skipped() const noexcept { return skipped_; }

  /// The stamp that a file has while it is what `entry` says; nothing where the entry cannot vouch
  /// for it (racy-git.txt: not older than the index itself, or marked by a size of zero).
  std::optional<stamp> stamp_of_entry(const git_index_entry& entry) const;

 private:
  void survey();

  index_handle index_;
  std::string note_;
  file_identity identity_;
  bool settled_ = false;
  bool unread_ = false;
  bool may_be_sparse_ = false;
  bool gitlinks_ = false;
  std::vector<const git_index_entry*> skipped_;
};

/// `full` as it would be in an index entry.
stamp truncated(const stamp& full);

/// The index as a difference to `head_tree` (zero: no commit yet).
result<index_state> compare_with_tree(const repository& repo, const index_view& index,
                                      const oid& head_tree);

}  // namespace remora::git

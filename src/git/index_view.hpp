// What a scan knows of a worktree's index.
#pragma once

#include <map>
#include <remora/git/manifest.hpp>

#include "git/index_file.hpp"

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

  bool known() const noexcept { return known_; }
  const std::string& note() const noexcept { return note_; }
  /// Not known because its file cannot be read; else because of what is in it, or what it is.
  bool unread() const noexcept { return unread_; }
  /// Not known, and it may be of a sparse checkout: then an absent file need not be a deletion. So
  /// for a sparse index, which has entries for whole directories.
  bool may_be_sparse() const noexcept { return may_be_sparse_; }
  const file_identity& identity() const noexcept { return identity_; }
  /// The file was older than its reading: the same identity later means the same bytes.
  bool settled() const noexcept { return settled_; }

  /// Null: not known, or released.
  const index_file* file() const noexcept { return file_ ? &*file_ : nullptr; }
  /// Keeps what later scans ask for and gives the entries back: 8 bytes a path stay of 120, once
  /// for all indexes with these paths that share `others` (or null).
  void release(shared_trees* others);

  /// An entry of any stage is at `path` or below it. Released, it may take another path for it,
  /// once in 2^64 times the number of entries.
  bool tracks(std::string_view path, bool is_directory) const;
  /// Of a submodule; null: none is there.
  const oid* gitlink(std::string_view path) const;
  bool has_gitlinks() const noexcept { return !gitlinks_.empty(); }
  /// Entries that a sparse checkout leaves out, sorted by path.
  const std::vector<index_entry>& skipped() const noexcept { return skipped_; }

  /// The stamp that a file has while it is what `entry` says; nothing where the entry cannot vouch
  /// for it (racy-git.txt: not older than the index itself, or marked by a size of zero).
  std::optional<stamp> stamp_of_entry(const index_file::entry& entry) const;

 private:
  void survey();

  bool known_ = false;
  std::optional<index_file> file_;
  std::string note_;
  file_identity identity_;
  bool settled_ = false;
  bool unread_ = false;
  bool may_be_sparse_ = false;
  std::map<std::string, oid, std::less<>> gitlinks_;
  std::vector<index_entry> skipped_;
  /// Sorted: of paths, and of directories ended by `/`. Null until released.
  std::shared_ptr<const std::vector<std::size_t>> hashes_;
};

/// `full` as it would be in an index entry.
stamp truncated(const stamp& full);

/// The index, which is not released, as a difference to `head_tree` (zero: no commit yet).
result<index_state> compare_with_tree(const repository& repo, const index_view& index,
                                      const oid& head_tree);

}  // namespace remora::git

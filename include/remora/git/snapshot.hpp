// Takes exact snapshots of one worktree. An own walk on directory descriptors, raw blobs, an own
// stat cache; `git_index_add_all` is unfit: it aborts on one bad path, drops long paths silently,
// records sparse files as deleted and hangs on a FIFO (measured, 1.5.1). Never fails because
// of one path: what cannot be taken is written down. The worktree and its git directory are
// agent-writable: they are read by descriptors, one component at a time, O_NOFOLLOW|O_NONBLOCK, and
// never opened as a repository.
#pragma once

#include <chrono>
#include <remora/git/manifest.hpp>
#include <remora/git/object_writer.hpp>
#include <remora/git/worktree.hpp>
#include <stop_token>

namespace remora::git {

struct snapshot {
  oid tree;  ///< the files
  git::manifest manifest;
  head_state head;
  index_state index;
  std::vector<std::pair<std::string, std::string>>
      operation;  ///< files of a merge, rebase, … in progress: name below the git directory, bytes
  std::vector<oid>
      stashes;  ///< the entries of the shared stash that were made on this task's branch
  std::uint64_t files_scanned = 0;
  std::uint64_t files_read = 0;  ///< of them, opened and hashed
};

class change_watch;
class directory;
class shared_trees;

/// Names and ids of files, kept once for all worktrees that have them. Thread: any.
std::shared_ptr<shared_trees> share_trees();

/// Where a snapshot looks for changes.
enum class look {
  where_told,  ///< by `snapshot_rules::watch`, as far as that knows
  everywhere
};

struct snapshot_rules {
  std::vector<std::string> include;  ///< ignored paths to carry (gitignore patterns)
  std::uint64_t max_file_bytes = 100ull
                                 << 20;  ///< a larger new or changed file is left out, written down
  /// New bytes of all files and git directories of one snapshot; what is beyond is left out,
  /// written down, large files first.
  std::uint64_t max_bytes = 1ull << 30;
  std::string branch;  ///< the task's own branch, `refs/heads/…`: whose stash entries are ours
  std::shared_ptr<change_watch> watch;   ///< null: every snapshot looks everywhere
  std::shared_ptr<shared_trees> shared;  ///< null: this worktree has its own
};

/// One per worktree; keeps the stat cache (path → identity, size, times → id) between snapshots.
/// Thread: one at a time. Memory: some 60 bytes a file, and what
/// `snapshot_rules::shared` has.
class snapshotter {
 public:
  /// `base`: the commit that was checked out. The cache is seeded from the worktree's own
  /// index where that can be read; a path that did not change since checkout is then never read,
  /// and neither is a tree of the base whose entries the index has.
  static result<snapshotter> open(const repository& repo, worktree tree, const oid& base,
                                  snapshot_rules rules);

  snapshotter(snapshotter&&) noexcept;
  snapshotter& operator=(snapshotter&&) noexcept;
  ~snapshotter();

  /// Writes blobs and trees through `objects` (its barrier is the caller's).
  /// Stop: checked between files; errc::stopped, nothing is published.
  /// Errors: errc::vanished (the worktree is gone: never an "all deleted" snapshot), errno of the
  /// object database (disk full). A path that was captured before stays captured while it exists,
  /// even if it becomes ignored.
  /// `where_told` also looks everywhere the first time, when the ignore rules outside of the
  /// worktree have changed, the index of one with submodules or of a sparse one has, events were
  /// lost, and every sixteenth time, for what no event tells of (change_watch.hpp).
  result<snapshot> take(const repository& repo, object_writer& objects, std::stop_token stop,
                        look where = look::where_told);

  const worktree& tree() const noexcept;
  /// What the last snapshot found, for `reuse_worktree`.
  const directory& files() const noexcept;

 private:
  struct impl;
  explicit snapshotter(std::unique_ptr<impl>);
  std::unique_ptr<impl> impl_;
};

}  // namespace remora::git

// Being told of changes in worktrees (inotify(7)): a snapshot then looks at what changed, not at
// every file. One instance of inotify for all worktrees; a user may have 128.
#pragma once

#include <cstddef>
#include <memory>
#include <remora/core/result.hpp>

namespace remora::git {

/// Thread: any; its snapshotters may work at the same time. Nobody has to read it in between: when
/// the kernel's queue overflows (16,384 events), the next snapshot of each worktree looks
/// everywhere.
///
/// Not told of: what is written through a shared mapping (until that ends), through a hard link
/// that was made since where nothing is watched (an ignored directory, a submodule, outside of the
/// worktree) or is gone again, or on a file system that another machine writes to. So a snapshot of
/// an agent that has ended never relies on it.
class change_watch {
 public:
  /// Errors: errno (the user has no instance left).
  static result<std::shared_ptr<change_watch>> open();
  /// `most`: directories that are watched together. A worktree that would need more is not watched.
  static result<std::shared_ptr<change_watch>> open(std::size_t most);
  ~change_watch();

  struct impl;
  impl& inside() const noexcept { return *impl_; }

 private:
  explicit change_watch(std::unique_ptr<impl>);
  std::unique_ptr<impl> impl_;
};

}  // namespace remora::git

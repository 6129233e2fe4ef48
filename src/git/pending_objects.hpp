// New objects until they are durable. They wait in a directory beside the database and get their
// names in it once their bytes are on the disk: a loose file there is never a part of an object,
// not after a power cut either, and many are synced at once instead of each by itself. (git does
// so with `core.fsyncMethod=batch`.)
#pragma once

#include <git2.h>

#include <filesystem>
#include <remora/core/posix.hpp>
#include <remora/git/repository.hpp>
#include <span>

namespace remora::git {

/// Thread: that of the repository, which finds the objects that wait as if they were its own.
class pending_objects {
 public:
  explicit pending_objects(const repository& repo);
  pending_objects(const pending_objects&) = delete;
  pending_objects& operator=(const pending_objects&) = delete;
  /// What still waits is dropped.
  ~pending_objects();

  /// Replaces an object of that id that waits. Errors: errno.
  result<void> write(const oid& id, std::string_view bytes, git_object_t type);

  /// Makes `ids`, which wait, durable and then visible to all. Syncs files and directories, or,
  /// where there are more than 64 of them, the file system. Errors: errno; then some of them may be
  /// visible, with all their bytes.
  result<void> settle(std::span<const oid> ids);

 private:
  result<void> open();
  result<void> sync_files(std::span<const oid> ids) const;
  result<void> sync_names(std::span<const oid> ids) const;
  result<void> rename(const oid& id) const;

  const repository& repo_;
  std::filesystem::path objects_;
  std::filesystem::path waiting_;  ///< empty: nothing was written yet
  unique_fd watched_;  ///< open since the start: `syncfs` reports what failed after an open only
};

}  // namespace remora::git

// New objects until they are durable: all of them since the last barrier in one pack, whatever
// their number, so that they cost three syncs.
#pragma once

#include <git2.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <remora/git/repository.hpp>

#include "git/new_pack.hpp"
#include "git/unpublished.hpp"

namespace remora::git {

/// Thread: that of the repository, which finds the objects that wait as if they were its own.
class pending_objects {
 public:
  explicit pending_objects(repository& repo);
  pending_objects(const pending_objects&) = delete;
  pending_objects& operator=(const pending_objects&) = delete;
  ~pending_objects() { drop(); }

  /// Errors: errno; what waits besides goes on waiting.
  result<void> write(const oid& id, std::string_view bytes, git_object_t type);
  /// As `new_pack::add_file`.
  result<oid> write_file(int fd, std::uint64_t size, const std::function<bool(const oid&)>& wanted);

  /// Makes all that waits durable and visible to everybody. The bytes that it takes on the disk; 0:
  /// nothing waited, else the names in `objects/pack` are durable. Errors: errno; then nothing
  /// waits any more: a sync that failed is not to be believed the second time, so it is all to be
  /// written anew (F4).
  result<std::uint64_t> settle();
  void drop();

 private:
  result<void> open();

  std::filesystem::path directory_;
  std::shared_ptr<unpublished> view_;
  std::optional<new_pack> pack_;
};

}  // namespace remora::git

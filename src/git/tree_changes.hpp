// Two trees walked side by side; a subtree that is the same on both sides is never read.
#pragma once

#include <functional>
#include <remora/git/repository.hpp>

namespace remora::git {

/// An entry that differs: only in `from`, only in `to`, or in both with another id or mode.
/// Directories are descended into, never reported.
struct tree_change {
  std::string path;
  std::optional<tree_entry> from;
  std::optional<tree_entry> to;
};

/// In git's order of paths. Either side may be zero: the empty tree.
result<std::vector<tree_change>> tree_changes(const repository& repo, const oid& from,
                                              const oid& to);

/// Calls `found` with `to` and everything below it (trees and blobs) that is not at the same place
/// in `from`.
result<void> new_objects(const repository& repo, const oid& from, const oid& to,
                         const std::function<void(const oid&)>& found);

}  // namespace remora::git

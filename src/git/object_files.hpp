// The files that objects are in, and making them durable: what libgit2 and other people's git do
// not tell and do not do.
#pragma once

#include <filesystem>
#include <remora/core/posix.hpp>
#include <remora/git/oid.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace remora::git {

class object_files {
 public:
  /// `objects`: the repository's object directory.
  explicit object_files(std::filesystem::path objects);

  /// Makes `ids` durable: syncs the files that hold them and their directories, or above 64 files
  /// of somebody else's the whole file system(s). A pack of ours was synced before it had its name:
  /// for what is in one only the name is, and not even that where `names_synced`: `objects/pack`
  /// was synced since. Errors: errno of the sync; errc::corrupt if one of them is in no file.
  result<void> sync(std::span<const oid> ids, bool names_synced);
  /// `syncfs` on the object directory and on those that it borrows from.
  result<void> sync_everything();

 private:
  struct worklist {
    std::set<std::string> files;
    std::set<std::string> directories;
  };

  result<std::vector<std::filesystem::path>> object_directories() const;
  std::vector<oid> not_in_our_packs(std::span<const oid> ids) const;
  result<void> collect(const oid& id, const std::vector<std::filesystem::path>& directories,
                       worklist& work) const;
  result<void> sync_files(std::span<const oid> ids);

  std::filesystem::path objects_;
  unique_fd watched_;  ///< open since the start: `syncfs` reports what failed after an open only
  std::set<std::string> synced_packs_;
};

}  // namespace remora::git

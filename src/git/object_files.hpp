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

  /// Those that no kept pack of ours holds which came since this was made. An older one may have
  /// been given up to git with its run's end, or be about to be, by somebody who does not know of
  /// us: then a `git repack -ad` that has begun drops what no ref named at its beginning.
  std::vector<oid> not_in_our_packs(std::span<const oid> ids) const;
  /// The names in `objects/pack`: a pack of ours was synced before it had its own.
  result<void> sync_names() const;
  /// Makes `ids` durable where they are: syncs the files that hold them and their directories, or
  /// above 64 files the whole file system(s). Errors: errno of the sync; errc::corrupt if one of
  /// them is in no file.
  result<void> sync(std::span<const oid> ids);
  /// `syncfs` on the object directory and on those that it borrows from.
  result<void> sync_everything();

 private:
  struct worklist {
    std::set<std::string> files;
    std::set<std::string> directories;
  };

  result<std::vector<std::filesystem::path>> object_directories() const;
  result<void> collect(const oid& id, const std::vector<std::filesystem::path>& directories,
                       worklist& work) const;
  result<void> sync_files(std::span<const oid> ids);

  std::filesystem::path objects_;
  unique_fd watched_;  ///< open since the start: `syncfs` reports what failed after an open only
  std::set<std::string> synced_packs_;
  std::set<std::string> older_;  ///< stems of our packs that were there before us
};

}  // namespace remora::git

// This program's `fsync` and `syncfs`, watched and made to fail: ours take the place of the C
// library's for everything that is linked in, libgit2 too.
#pragma once

#include <string>
#include <vector>

namespace remora::test {

/// While one of these lives, the paths that are synced are kept.
class watched_sync {
 public:
  watched_sync();
  watched_sync(const watched_sync&) = delete;
  watched_sync& operator=(const watched_sync&) = delete;
  ~watched_sync();

  /// From now on a sync of a path with `part` in it, or at its end with a `$` behind it, fails with
  /// EIO; an empty one: of none.
  void fail_at(std::string part);

  std::vector<std::string> files;         ///< by fsync, in order
  std::vector<std::string> file_systems;  ///< by syncfs

  bool saw(const std::string& part) const;
  int record(int fd, std::vector<std::string>& into);

 private:
  std::string failing_;
};

}  // namespace remora::test

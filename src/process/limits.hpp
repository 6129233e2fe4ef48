// How limits of a process tree are enforced: files of control groups (cgroup v2, or v1 where that
// has the controller). Private to the process room.
#pragma once

#include <filesystem>
#include <remora/process/host.hpp>
#include <string>
#include <vector>

namespace remora::process {

/// `remora-` and the name, as one name of a directory.
std::string group_name(std::string_view name);

/// Which limits can be enforced on children of this process, looked up once.
class limit_places {
 public:
  /// `may_move`: where a v2 group gives its children no controllers because somebody is in it, and
  /// only this process and those below it are, they move into a child of it.
  explicit limit_places(bool may_move);

  /// Of those that are wanted: which cannot be, why, what to do.
  std::vector<std::string> missing(const tree_limits& wanted) const;

  struct plan {
    std::string lines;                          ///< LIMITS of shim_protocol.hpp
    std::vector<std::filesystem::path> groups;  ///< all directories that are named in it
  };
  /// For a tree of this name; limits that cannot be enforced are left out.
  plan for_tree(const tree_limits& wanted, std::string_view name) const;

 private:
  struct place {
    std::filesystem::path parent;  ///< of the groups
    bool v2 = false;
    std::string why_not;  ///< empty: it works
  };
  static place look_for(std::string_view controller, const char* file_v2, const char* file_v1,
                        bool may_move);
  place memory_, processes_;
};

}  // namespace remora::process

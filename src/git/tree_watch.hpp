// The directories of one worktree that are watched.
#pragma once

#include <memory>
#include <optional>
#include <remora/git/change_watch.hpp>
#include <string>

#include "git/change_set.hpp"

namespace remora::git {

class tree_watch {
 public:
  explicit tree_watch(std::shared_ptr<change_watch> with);
  tree_watch(const tree_watch&) = delete;
  tree_watch& operator=(const tree_watch&) = delete;
  ~tree_watch();

  /// What changes in the directory `fd` from now on is told under the name `directory`. To be
  /// called before its names are read. Where that is not possible none of the worktree's is watched
  /// any more.
  void add(int fd, const std::string& directory);

  /// What changed since the last call. Nothing: that is not known, all of it may have.
  std::optional<change_set> take();

 private:
  struct state;
  friend struct change_watch::impl;

  std::shared_ptr<change_watch> with_;
  std::unique_ptr<state> state_;
};

}  // namespace remora::git

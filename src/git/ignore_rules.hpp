// All ignore rules of a worktree, asked in the order that git asks them.
#pragma once

#include <optional>
#include <remora/git/repository.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "git/ignore.hpp"

namespace remora::git {

/// The rules outside of the worktree, read when a snapshotter is opened and before each scan.
class shared_rules {
 public:
  /// `info/exclude` of the common directory, and the file that `core.excludesFile` names.
  static shared_rules read(const repository& repo);

  /// The same in a submodule: `info/exclude` of its git directory instead.
  shared_rules in_submodule(int git_dir) const;

  ignore_list::verdict match(std::string_view path, bool is_directory) const;
  bool operator==(const shared_rules& o) const { return text_ == o.text_; }

 private:
  std::string text_;  ///< of both
  ignore_list exclude_;
  ignore_list user_;
};

/// A directory on the way from the root to where the scan is. Its `.gitignore` is read when an
/// untracked name first asks for it.
class level {
 public:
  /// `fd` below zero: the directory is not there. `prefix`: its path with a slash, or nothing.
  level(level* parent, const shared_rules& shared, int fd, std::string prefix)
      : parent_(parent), shared_(shared), fd_(fd), prefix_(std::move(prefix)) {}

  int fd() const noexcept { return fd_; }
  const std::string& prefix() const noexcept { return prefix_; }

  /// `path`, a direct child of this directory, is ignored (or everything here is).
  bool ignores(std::string_view path, bool is_directory);
  /// The directory itself is ignored, so everything in it is.
  bool is_ignored();
  /// Why the rules here could not be read: for lack of descriptors or memory. What was answered
  /// without them is not to be kept.
  const std::optional<error>& unread() const noexcept { return unread_; }

 private:
  ignore_list::verdict ask(std::string_view path, bool is_directory);
  const ignore_list& own();

  level* parent_;
  const shared_rules& shared_;
  int fd_;
  std::string prefix_;
  std::optional<ignore_list> own_;
  std::optional<error> unread_;
  std::optional<bool> ignored_;
};

}  // namespace remora::git

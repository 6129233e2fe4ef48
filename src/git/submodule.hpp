// What a submodule has checked out, without opening it as a repository.
#pragma once

#include <filesystem>
#include <remora/core/posix.hpp>
#include <remora/git/repository.hpp>
#include <string>

namespace remora::git {

struct submodule_state {
  oid head;                  ///< zero: not checked out, or its git directory cannot be read
  bool has_content = false;  ///< there is anything in its directory
};

/// The git directory of the repository whose files are in `dir`: `.git` there, or what the file
/// `.git` names, but only below `modules/` of the worktree's `git_dir` or of the common directory,
/// where git puts those of submodules. Invalid: none of them, or it cannot be opened.
unique_fd open_submodule_git_dir(const repository& repo, const std::filesystem::path& git_dir,
                                 int dir);

/// `dir`: the submodule's directory.
result<submodule_state> read_submodule(const repository& repo, const std::filesystem::path& git_dir,
                                       int dir);

/// The text of a `config` without `core.worktree`, which says where the files are from where the
/// git directory is: not true any more once that is the `.git` beside them.
std::string without_worktree(std::string_view config);

/// The commit that HEAD of the git directory open as `git_dir` stands for; zero: unborn,
/// unreadable.
oid read_head_of(int git_dir);

}  // namespace remora::git

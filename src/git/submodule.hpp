// What a submodule has checked out, without opening it as a repository.
#pragma once

#include <filesystem>
#include <remora/git/repository.hpp>
#include <string>

namespace remora::git {

struct submodule_state {
  oid head;  ///< zero: not checked out, or its git directory cannot be read
  bool has_content = false;
};

/// `dir`: the submodule's directory. Its git directory is `.git` there, or what the file `.git`
/// names, but only below `modules/` of the worktree's `git_dir` or of the common directory.
submodule_state read_submodule(const repository& repo, const std::filesystem::path& git_dir,
                               int dir);

/// The commit that HEAD of the git directory open as `git_dir` stands for; zero: unborn,
/// unreadable.
oid read_head_of(int git_dir);

}  // namespace remora::git

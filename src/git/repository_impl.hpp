// What a `repository` holds.
#pragma once

#include <remora/git/repository.hpp>

#include "git/handles.hpp"
#include "git/unpublished.hpp"

namespace remora::git {

struct repository_impl {
  repository_handle repo;
  odb_handle odb;
  std::filesystem::path common_dir;
  std::filesystem::path git_dir;
  std::optional<std::filesystem::path> work_dir;
  std::shared_ptr<unpublished> pending = std::make_shared<unpublished>();
  std::vector<std::string> our_packs;  ///< that were there when they were last looked at, sorted
  std::function<result<void>()> may_change_refs;  ///< nothing: always
};

struct repository::impl : repository_impl {
  explicit impl(repository_impl opened) : repository_impl(std::move(opened)) {}
};

/// `flags`: of `git_repository_open_ext`. Errors: errc::repository, with what to do.
result<repository_impl> open_repository(const std::filesystem::path& path, unsigned flags);

/// Lets go of packs that are no longer there: libgit2 keeps each that it ever found, mapped or
/// open.
result<void> open_objects_again(repository_impl& repo);

}  // namespace remora::git

// What a `repository` holds.
#pragma once

#include <remora/git/repository.hpp>

#include "git/handles.hpp"

namespace remora::git {

struct repository_impl {
  repository_handle repo;
  odb_handle odb;
  std::filesystem::path common_dir;
  std::filesystem::path git_dir;
  std::optional<std::filesystem::path> work_dir;
};

struct repository::impl : repository_impl {
  explicit impl(repository_impl opened) : repository_impl(std::move(opened)) {}
};

/// `flags`: of `git_repository_open_ext`. Errors: errc::repository, with what to do.
result<repository_impl> open_repository(const std::filesystem::path& path, unsigned flags);

}  // namespace remora::git

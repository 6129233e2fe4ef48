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
  timespec removed{};                  ///< when objects were last removed that had no other copy
  std::function<result<void>()> may_change_refs;              ///< nothing: always
  std::optional<std::map<std::string, std::string>> trusted;  ///< programs
};

struct repository::impl : repository_impl {
  explicit impl(repository_impl opened) : repository_impl(std::move(opened)) {}
};

/// `flags`: of `git_repository_open_ext`. Errors: errc::repository, with what to do.
result<repository_impl> open_repository(const std::filesystem::path& path, unsigned flags);
/// Owns `raw` from here on. `path` is for messages.
result<repository_impl> opened_repository(git_repository* raw, const std::filesystem::path& path);

/// Lets go of all packs and of all objects that were read: libgit2 keeps each pack that it ever
/// found, mapped or open, and says of an object that it has read once that it is there.
result<void> open_objects_again(repository_impl& repo);
/// The same, if a pack of ours is gone since it was last asked, or something was removed.
result<void> let_go_of_gone_packs(repository_impl& repo);

/// Whose time says when something was last removed.
std::filesystem::path removal_mark(const std::filesystem::path& common_dir);
/// Before objects go that may have no other copy: whoever holds objects after it lets go of what he
/// has read, and takes nothing that he wrote for durable.
result<void> mark_removal(const std::filesystem::path& common_dir);

}  // namespace remora::git

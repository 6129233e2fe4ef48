// Owners of libgit2's objects, and its last error as ours.
#pragma once

#include <git2.h>

#include <memory>
#include <remora/git/oid.hpp>

namespace remora::git {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};

using repository_handle = std::unique_ptr<git_repository, freed_by<git_repository_free>>;
using odb_handle = std::unique_ptr<git_odb, freed_by<git_odb_free>>;
using odb_object_handle = std::unique_ptr<git_odb_object, freed_by<git_odb_object_free>>;
using odb_stream_handle = std::unique_ptr<git_odb_stream, freed_by<git_odb_stream_free>>;
using object_handle = std::unique_ptr<git_object, freed_by<git_object_free>>;
using tree_handle = std::unique_ptr<git_tree, freed_by<git_tree_free>>;
using commit_handle = std::unique_ptr<git_commit, freed_by<git_commit_free>>;
using reference_handle = std::unique_ptr<git_reference, freed_by<git_reference_free>>;
using config_handle = std::unique_ptr<git_config, freed_by<git_config_free>>;
using signature_handle = std::unique_ptr<git_signature, freed_by<git_signature_free>>;
using status_handle = std::unique_ptr<git_status_list, freed_by<git_status_list_free>>;
using index_handle = std::unique_ptr<git_index, freed_by<git_index_free>>;
using patch_handle = std::unique_ptr<git_patch, freed_by<git_patch_free>>;
using filters_handle = std::unique_ptr<git_filter_list, freed_by<git_filter_list_free>>;

inline git_oid to_git(const oid& id) {
  git_oid raw;
  std::memcpy(raw.id, id.data(), sizeof raw.id);
  return raw;
}

inline oid from_git(const git_oid& id) {
  return oid(id.id);
}

/// The error of the libgit2 call that just returned `code` on this thread: errno where the system
/// said no (disk full, ...), else `otherwise` with libgit2's words after `doing`.
error git_failure(int code, std::string_view doing, errc otherwise = errc::repository);

}  // namespace remora::git

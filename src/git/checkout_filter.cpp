// The built-in conversions of a checkout.
#include <git2/sys/repository.h>

#include "git/look_twice.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

using blob_handle = std::unique_ptr<git_blob, freed_by<git_blob_free>>;

struct owned_buffer {
  git_buf buf = GIT_BUF_INIT;
  owned_buffer() = default;
  owned_buffer(const owned_buffer&) = delete;
  owned_buffer& operator=(const owned_buffer&) = delete;
  ~owned_buffer() { git_buf_dispose(&buf); }
};

/// A value of the attribute that would have needed a program or an encoder.
std::string attribute(const repository& repo, const std::string& path, const char* name,
                      const oid& attributes_from) {
  git_attr_options options{};
  options.version = GIT_ATTR_OPTIONS_VERSION;
  options.flags = GIT_ATTR_CHECK_NO_SYSTEM;
  if (!attributes_from.is_zero()) {
    options.flags |= GIT_ATTR_CHECK_INCLUDE_COMMIT;
    options.attr_commit_id = to_git(attributes_from);
  }
  const char* value = nullptr;
  if (git_attr_get_ext(&value, repo.raw(), &options, path.c_str(), name) != 0) {
    git_error_clear();
    return {};
  }
  return git_attr_value(value) == GIT_ATTR_VALUE_STRING ? value : std::string();
}

/// libgit2 looks for attributes in the index of the user's checkout, too, and fails where it
/// refuses that (G20). What is written here is no file of that checkout.
void do_without_refused_index(const repository& repo) {
  git_index* raw = nullptr;
  const bool refused = git_repository_index(&raw, repo.raw()) != 0;
  git_error_clear();
  if (refused && git_index_new(&raw) != 0) return;
  const index_handle index(raw);
  if (refused) git_repository_set_index(repo.raw(), raw);
}

}  // namespace

result<std::string> checkout_bytes(const repository& repo, const oid& blob, const std::string& path,
                                   const oid& attributes_from, std::string& unfiltered) {
  do_without_refused_index(repo);
  const git_oid id = to_git(blob);
  git_blob* raw = nullptr;
  const int found = look_twice(repo, [&] { return git_blob_lookup(&raw, repo.raw(), &id); });
  if (found != 0) return git_failure(found, "cannot read an object", errc::corrupt);
  const blob_handle owner(raw);
  git_blob_filter_options options{};
  options.version = GIT_BLOB_FILTER_OPTIONS_VERSION;
  options.flags = GIT_BLOB_FILTER_CHECK_FOR_BINARY;
  if (!attributes_from.is_zero()) {
    options.flags |= GIT_BLOB_FILTER_ATTRIBUTES_FROM_COMMIT;
    options.attr_commit_id = to_git(attributes_from);
  }
  owned_buffer out;
  if (const int code = git_blob_filter(&out.buf, raw, path.c_str(), &options); code != 0)
    return git_failure(code, "cannot convert a file");
  unfiltered = attribute(repo, path, "filter", attributes_from);
  if (unfiltered.empty())
    unfiltered = attribute(repo, path, "working-tree-encoding", attributes_from);
  return std::string(out.buf.ptr, out.buf.size);
}

}  // namespace remora::git

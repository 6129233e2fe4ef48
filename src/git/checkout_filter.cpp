#include "git/checkout_filter.hpp"

#include <git2/sys/repository.h>

#include "git/careful.hpp"
#include "git/look_twice.hpp"
#include "git/scanner.hpp"

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

result<void> add_attributes(const repository& repo, git_index* index, const oid& tree,
                            const std::string& prefix, int depth) {
  const auto entries = repo.read_tree(tree);
  if (!entries && !entries.error().is(errc::corrupt)) return entries.error();
  if (!entries || depth >= scanner::max_depth) return {};
  for (const tree_entry& e : *entries) {
    if (!is_safe_name(e.name, false)) continue;  // none is written there
    if (e.mode == mode::directory) {
      REMORA_CHECK(add_attributes(repo, index, e.id, prefix + e.name + '/', depth + 1));
    } else if (e.name == ".gitattributes" && e.mode != mode::symlink) {
      const auto readable = repo.read_blob(e.id);
      if (!readable && !readable.error().is(errc::corrupt)) return readable.error();
      if (!readable) continue;
      const std::string path = prefix + e.name;
      git_index_entry entry{};
      entry.mode = GIT_FILEMODE_BLOB;
      entry.id = to_git(e.id);
      entry.path = path.c_str();
      if (const int code = git_index_add(index, &entry); code != 0)
        return git_failure(code, "cannot take attributes from " + path);
    }
  }
  return {};
}

}  // namespace

result<checkout_filter> checkout_filter::open(const repository& repo, const oid& attributes) {
  REMORA_TRY(repository bare, repo.reopen_bare());
  git_index* raw = nullptr;
  if (const int code = git_index_new(&raw); code != 0)
    return git_failure(code, "cannot make an index");
  const index_handle index(raw);
  if (!attributes.is_zero()) {
    REMORA_CHECK(add_attributes(bare, raw, attributes, "", 0));
  }
  if (const int code = git_repository_set_index(bare.raw(), raw); code != 0)
    return git_failure(code, "cannot take attributes from an index");
  return checkout_filter(std::move(bare));
}

std::string checkout_filter::attribute(const std::string& path, const char* name) const {
  const char* value = nullptr;
  if (git_attr_get(&value, bare_.raw(), GIT_ATTR_CHECK_NO_SYSTEM, path.c_str(), name) != 0) {
    git_error_clear();
    return {};
  }
  return git_attr_value(value) == GIT_ATTR_VALUE_STRING ? value : std::string();
}

result<checkout_filter::converted> checkout_filter::convert(const oid& blob,
                                                            const std::string& path) const {
  const git_oid id = to_git(blob);
  git_blob* raw = nullptr;
  const int found = look_twice(bare_, [&] { return git_blob_lookup(&raw, bare_.raw(), &id); });
  if (found != 0) return git_failure(found, "cannot read an object", errc::corrupt);
  const blob_handle owner(raw);
  git_blob_filter_options options{};
  options.version = GIT_BLOB_FILTER_OPTIONS_VERSION;
  options.flags = 0;  // CHECK_FOR_BINARY writes nothing at all for what it takes for binary
  owned_buffer out;
  if (const int code = git_blob_filter(&out.buf, raw, path.c_str(), &options); code != 0)
    return git_failure(code, "cannot convert a file");
  std::string unfiltered = attribute(path, "filter");
  if (unfiltered.empty()) unfiltered = attribute(path, "working-tree-encoding");
  return converted{std::string(out.buf.ptr, out.buf.size), std::move(unfiltered)};
}

}  // namespace remora::git

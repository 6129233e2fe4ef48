#include "git/clean_filter.hpp"

#include <fmt/format.h>
#include <git2/sys/repository.h>

#include <remora/core/text.hpp>

namespace remora::git {

result<clean_filter> clean_filter::make(const repository& repo, const oid& files) {
  clean_filter filter(repo, files);
  git_repository* bare = nullptr;
  if (const int got = git_repository_open_bare(&bare, repo.common_dir().c_str()); got != 0)
    return git_failure(got, "cannot open the repository for its attributes");
  filter.bare_.reset(bare);
  git_index* index = nullptr;
  if (const int got = git_index_new(&index); got != 0)
    return git_failure(got, "cannot make an index in memory");
  filter.index_.reset(index);
  // Objects that wait for their barrier are seen through this one only.
  if (const int got = git_repository_set_odb(bare, repo.odb()); got != 0)
    return git_failure(got, "cannot share the object database");
  // Otherwise it would be the user's own index file.
  if (const int got = git_repository_set_index(bare, index); got != 0)
    return git_failure(got, "cannot use an index in memory");
  return filter;
}

void clean_filter::put_in_index(const std::string& path, const tree_entry& entry) {
  git_index_entry put{};
  put.path = path.c_str();
  put.id = to_git(entry.id);
  put.mode = static_cast<std::uint32_t>(entry.mode);
  // A name that libgit2 refuses has no attributes of its own and no line ends to keep.
  if (git_index_add(index_.get(), &put) != 0) git_error_clear();
}

/// The attribute files of all directories above `path`.
result<void> clean_filter::load_attributes(const std::string& path) {
  for (std::size_t slash = 0; slash != path.npos; slash = path.find('/', slash + 1)) {
    const std::string directory = slash == 0 ? "" : path.substr(0, slash + 1);
    if (!loaded_.insert(directory).second) continue;
    const std::string name = directory + ".gitattributes";
    REMORA_TRY(const std::optional<tree_entry> entry, repo_->find(files_, name));
    const bool is_file = entry && (entry->mode == mode::file || entry->mode == mode::executable);
    if (is_file) put_in_index(name, *entry);  // git follows no link either
  }
  return {};
}

std::string clean_filter::attribute(const std::string& path, const char* name) const {
  git_attr_options options{};
  options.version = GIT_ATTR_OPTIONS_VERSION;
  const char* value = nullptr;
  if (git_attr_get_ext(&value, bare_.get(), &options, path.c_str(), name) != 0) {
    git_error_clear();
    return {};
  }
  return git_attr_value(value) == GIT_ATTR_VALUE_STRING ? value : "";
}

result<clean_filter::outcome> clean_filter::apply(const std::string& path, const oid& blob,
                                                  const std::optional<tree_entry>& before) {
  outcome done;
  REMORA_CHECK(load_attributes(path));
  const std::string name = attribute(path, "filter");
  if (name == "lfs") return pointer(path, blob);
  if (!name.empty()) {
    done.not_done = fmt::format("filter not run: {}", to_utf8(name));
    return done;
  }
  if (const std::string coding = attribute(path, "working-tree-encoding"); !coding.empty()) {
    done.not_done = fmt::format("encoding not converted: {}", to_utf8(coding));
    return done;
  }
  if (before && !path.ends_with(".gitattributes")) put_in_index(path, *before);
  git_filter_options options{};
  options.version = GIT_FILTER_OPTIONS_VERSION;
  options.flags = GIT_FILTER_ALLOW_UNSAFE;
  git_filter_list* raw = nullptr;
  const std::string where = fmt::format("cannot normalise {}", to_utf8(path));
  int got = git_filter_list_load_ext(&raw, bare_.get(), nullptr, path.c_str(), GIT_FILTER_TO_ODB,
                                     &options);
  const filters_handle filters(raw);
  if (got != 0) return git_failure(got, where);
  if (!filters) return done;
  REMORA_TRY(const std::string bytes, repo_->read_blob(blob));
  git_buf out = GIT_BUF_INIT;
  got = git_filter_list_apply_to_buffer(&out, raw, bytes.data(), bytes.size());
  if (got == 0) done.bytes.emplace(out.ptr, out.size);
  git_buf_dispose(&out);
  if (got != 0) return git_failure(got, where);
  return done;
}

result<clean_filter::outcome> clean_filter::pointer(const std::string& path, const oid& blob) {
  outcome done;
  REMORA_TRY(const std::string bytes, repo_->read_blob(blob));
  auto made = lfs_.pointer_of(path, bytes);
  pointed_ = pointed_ || made;
  if (made)
    done.bytes = std::move(*made);
  else
    done.not_done = fmt::format("filter not run: lfs: {}", made.error().what);
  return done;
}

result<bool> clean_filter::is_lfs(const std::string& path) {
  REMORA_CHECK(load_attributes(path));
  return attribute(path, "filter") == "lfs";
}

result<void> clean_filter::sync() const {
  return pointed_ ? lfs_.sync() : result<void>();
}

}  // namespace remora::git

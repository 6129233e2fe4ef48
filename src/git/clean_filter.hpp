// What `git add` makes of a file's bytes, with the attributes of a tree instead of a checkout's,
// and without running a program but git-lfs.
#pragma once

#include <remora/git/repository.hpp>
#include <set>

#include "git/handles.hpp"
#include "git/lfs.hpp"

namespace remora::git {

class clean_filter {
 public:
  /// `.gitattributes` are read from the tree `files`; `info/attributes` and the configuration are
  /// the repository's.
  static result<clean_filter> make(const repository& repo, const oid& files);

  struct outcome {
    std::optional<std::string> bytes;  ///< nothing: stored as they are
    std::string not_done;              ///< a conversion that git would have done, and we do not
  };
  /// `before`: the entry at `path` in HEAD, if any: git converts no line ends of a file that was
  /// committed with CRLF.
  result<outcome> apply(const std::string& path, const oid& blob,
                        const std::optional<tree_entry>& before);
  /// What git stores of it is a pointer, however large it is.
  result<bool> is_lfs(const std::string& path);
  /// What is stored elsewhere than in the object database survives a power cut. Errors: errno.
  result<void> sync() const;

 private:
  clean_filter(const repository& repo, const oid& files)
      : repo_(&repo), files_(files), lfs_(repo) {}
  result<outcome> pointer(const std::string& path, const oid& blob);
  result<void> load_attributes(const std::string& path);
  std::string attribute(const std::string& path, const char* name) const;
  void put_in_index(const std::string& path, const tree_entry& entry);

  const repository* repo_;
  oid files_;
  index_handle index_;  ///< in memory: where libgit2 looks without a checkout
  repository_handle bare_;
  lfs lfs_;
  bool pointed_ = false;          ///< git-lfs has stored something
  std::set<std::string> loaded_;  ///< directories whose `.gitattributes` is in the index
};

}  // namespace remora::git

// What `git add` makes of a file's bytes, with the attributes of a tree instead of a checkout's,
// and without running a program.
#pragma once

#include <remora/git/repository.hpp>
#include <set>

#include "git/handles.hpp"

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

 private:
  clean_filter(const repository& repo, const oid& files) : repo_(&repo), files_(files) {}
  result<void> load_attributes(const std::string& path);
  std::string attribute(const std::string& path, const char* name) const;
  void put_in_index(const std::string& path, const tree_entry& entry);

  const repository* repo_;
  oid files_;
  index_handle index_;  ///< in memory: where libgit2 looks without a checkout
  repository_handle bare_;
  std::set<std::string> loaded_;  ///< directories whose `.gitattributes` is in the index
};

}  // namespace remora::git

// The built-in conversions of a checkout (`text`, `eol`, `ident`): no filter program runs.
#pragma once

#include <remora/git/repository.hpp>
#include <string>

namespace remora::git {

/// Converts as the `.gitattributes` of one tree say, and those that no tree has (`info/attributes`,
/// `core.attributesFile`). libgit2 asks the user's checkout and its index first, which another
/// worktree does not follow; so this has a repository of its own, without a checkout.
/// Thread: one at a time.
class checkout_filter {
 public:
  /// Reads all trees below `attributes`; what cannot be read of them is passed over.
  /// Errors: errc::repository, errno.
  static result<checkout_filter> open(const repository& repo, const oid& attributes);

  struct converted {
    std::string bytes;
    std::string unfiltered;  ///< the filter that would have had to run; empty: none
  };
  /// What a checkout writes for `blob` at `path`. Errors: errc::corrupt (it cannot be read), errno.
  result<converted> convert(const oid& blob, const std::string& path) const;

 private:
  explicit checkout_filter(repository bare) : bare_(std::move(bare)) {}
  /// A value that would have needed a program or an encoder.
  std::string attribute(const std::string& path, const char* name) const;

  repository bare_;
};

}  // namespace remora::git

// Files that Git LFS keeps: a tree has a pointer where a checkout has the file. git-lfs is the one
// filter program that remora runs: by its name, never by what a configuration says.
#pragma once

#include <remora/git/repository.hpp>

namespace remora::git {

class lfs {
 public:
  explicit lfs(const repository& repo) : repo_(&repo) {}

  /// Whether `bytes` are a pointer (git-lfs's docs/spec.md).
  static bool is_pointer(std::string_view bytes);
  /// How large the pointer of a file of `size` bytes is.
  static std::uint64_t pointer_size(std::uint64_t size) {
    return 125 + std::to_string(size).size();
  }

  /// The file that `pointer` is of, from the repository's store; nothing where that lacks it
  /// (nothing is fetched), or has what an extension of git-lfs made of it. Errors: errno.
  result<std::optional<std::string>> file_of(std::string_view pointer) const;

  /// What `git lfs clean` makes of a file: a pointer; its bytes are in the store then. Costs a
  /// process. Errors: errc::environment: it cannot be run, and is not tried again.
  result<std::string> pointer_of(const std::string& path, std::string_view bytes);
  /// All that is in the store survives a power cut: git-lfs does not sync. Errors: errno.
  result<void> sync() const;

 private:
  result<std::string> clean(const std::string& path, std::string_view bytes) const;
  result<void> check_extensions() const;
  std::filesystem::path store() const;

  const repository* repo_;
  std::optional<error> unfit_;
  bool checked_ = false;
};

}  // namespace remora::git

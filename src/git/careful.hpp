// Opens in directories that an agent can write to: one component or beneath a root, never through a
// symbolic link, never blocking on a FIFO, and only regular files are read (W1, W2, C5).
#pragma once

#include <cstdint>
#include <remora/core/posix.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

/// A directory for reading its names. `name` is one component.
result<unique_fd> open_directory(int parent, const std::string& name);

/// `path` (relative, any depth) beneath `root`, no symbolic link on the way nor at its end.
/// `path` must be shorter than PATH_MAX. Errors: errno (EXDEV, ELOOP: it leads elsewhere).
result<unique_fd> open_beneath(int root, const std::string& path, int flags, mode_t mode = 0);

/// As `open_directory`, but none at which something is mounted: that is not in what is removed.
/// Errors: errno (EXDEV: it is one).
result<unique_fd> open_to_empty(int parent, const std::string& name);

/// The bytes of a regular file. Errors: errno; errc::unsupported (not a regular file);
/// errc::too_large.
result<std::string> read_regular(int root, const std::string& path, std::size_t limit);

/// The target of a symbolic link. Errors: errno.
result<std::string> read_link(int dir, const char* name);

/// The names in a directory, sorted by bytes; `.` and `..` are not among them.
class name_list {
 public:
  struct item {
    std::uint32_t offset;
    std::uint32_t size;
    unsigned char type;  ///< as `d_type`: a hint
  };

  /// Reads the directory `fd` from its start. Errors: errno.
  result<void> read(int fd);
  std::size_t size() const noexcept { return items_.size(); }
  std::string_view name(std::size_t i) const noexcept {
    return {bytes_.data() + items_[i].offset, items_[i].size};
  }
  /// The same, ended by a zero byte.
  const char* c_str(std::size_t i) const noexcept { return bytes_.data() + items_[i].offset; }
  unsigned char type(std::size_t i) const noexcept { return items_[i].type; }

 private:
  std::string bytes_;
  std::vector<item> items_;
};

/// Puts `bytes` at `name` in `dir`: a new file beside it, fsync, rename. Never follows a link.
result<void> replace_file(int dir, const std::string& name, std::string_view bytes, mode_t mode);

/// A name that nobody else uses for a file beside others.
std::string temporary_name();

/// `name` is in every file system's eyes not git's own directory, and git takes it into a tree:
/// no `.git` look-alike (HFS+, NTFS), no link named `.gitmodules` (CVE-2014-9390, CVE-2019-1353).
bool is_safe_name(std::string_view name, bool symbolic_link);

}  // namespace remora::git

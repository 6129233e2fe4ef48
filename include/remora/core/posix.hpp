// The few system calls that every room needs, with EINTR and short transfers dealt with.
// Nothing here waits for another process.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <filesystem>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace remora {

/// Owns a file descriptor. Everything that remora opens is close-on-exec.
class unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~unique_fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// Of a look that failed: too few descriptors or too little memory. It says nothing of what is
/// there, and may pass.
bool is_lack(const error& e) noexcept;

/// Of a look that failed: nothing is there, or something else than was looked for. Any other error
/// says nothing of what is there.
bool says_gone(const error& e) noexcept;

/// `openat` with O_CLOEXEC. Errors: errno, with the path.
result<unique_fd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode = 0600);
inline result<unique_fd> open_file(const std::filesystem::path& path, int flags,
                                   mode_t mode = 0600);

/// All of `bytes`, or an error. Errors: errno.
result<void> write_all(int fd, std::string_view bytes);

/// The whole file, at most `limit` bytes (errc::too_large). Follows symbolic links.
result<std::string> read_file(const std::filesystem::path& path,
                              std::size_t limit = std::size_t{1} << 30);
result<std::string> read_fd(int fd, std::size_t limit = std::size_t{1} << 30);

/// Creates or replaces `path`: temporary file, fsync, rename, fsync of the directory. After success
/// the new content survives a power cut; after an error the old content is still there.
result<void> write_file_durably(const std::filesystem::path& path, std::string_view bytes,
                                mode_t mode = 0600);

/// fsync of a directory, so that names made or removed in it survive a power cut.
result<void> sync_directory(const std::filesystem::path& dir);

/// `mkdir -p` with `mode` for what is new, each new directory's parent synced.
result<void> make_directories(const std::filesystem::path& dir, mode_t mode = 0700);

/// Of this machine; `unknown` where the kernel does not say.
const std::string& host_name();

/// A kernel-wide identity of this boot; throws where it cannot be read.
const std::string& boot_id();

inline result<unique_fd> open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  return open_at(-100 /* AT_FDCWD */, path.string(), flags, mode);
}

}  // namespace remora

#include "git/careful.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <git2/sys/path.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <random>
#include <remora/core/text.hpp>
#include <remora/git/object_writer.hpp>

namespace remora::git {

result<unique_fd> open_directory(int parent, const std::string& name) {
  return open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
}

namespace {

result<unique_fd> open_resolved(int root, const std::string& path, int flags, mode_t mode,
                                std::uint64_t resolve) {
  struct open_how how{};  // glibc 2.36 has no wrapper for openat2
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0) return unique_fd(static_cast<int>(fd));
    // EAGAIN: a rename elsewhere raced with the check that the path stays beneath (openat2(2)).
    if (errno != EINTR && errno != EAGAIN)
      return os_error(errno, fmt::format("cannot open {}", to_utf8(path)));
  }
}

}  // namespace

result<unique_fd> open_beneath(int root, const std::string& path, int flags, mode_t mode) {
  return open_resolved(root, path, flags, mode, 0);
}

result<unique_fd> open_to_empty(int parent, const std::string& name) {
  auto dir = open_resolved(parent, name, O_RDONLY | O_DIRECTORY, 0, RESOLVE_NO_XDEV);
  if (!dir && dir.error().is_errno(EXDEV))
    return os_error(EXDEV, fmt::format("something is mounted at {}", to_utf8(name)));
  return dir;
}

result<std::string> read_regular(int root, const std::string& path, std::size_t limit) {
  REMORA_TRY(const unique_fd fd, open_beneath(root, path, O_RDONLY));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return os_error(errno, to_utf8(path));
  if (!S_ISREG(st.st_mode))
    return fail(errc::unsupported, fmt::format("{} is not a regular file", to_utf8(path)));
  auto bytes = read_fd(fd.get(), limit);
  if (!bytes) return within(to_utf8(path), bytes.error());
  return bytes;
}

result<std::string> read_link(int dir, const char* name) {
  char target[PATH_MAX + 1];
  const ssize_t n = ::readlinkat(dir, name, target, sizeof target);
  if (n < 0) return os_error(errno, fmt::format("cannot read the link {}", to_utf8(name)));
  return std::string(target, static_cast<std::size_t>(n));
}

result<void> name_list::read(int fd) {
  bytes_.clear();
  items_.clear();
  if (::lseek(fd, 0, SEEK_SET) < 0) return os_error(errno, "cannot rewind a directory");
  alignas(dirent64) char buffer[32 << 10];
  for (;;) {
    const long n = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot list a directory");
    if (n == 0) break;
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      items_.push_back({static_cast<std::uint32_t>(bytes_.size()),
                        static_cast<std::uint32_t>(name.size()), entry->d_type});
      bytes_.append(name.data(), name.size() + 1);
    }
  }
  std::sort(items_.begin(), items_.end(), [&](const item& a, const item& b) {
    return std::strcmp(bytes_.data() + a.offset, bytes_.data() + b.offset) < 0;
  });
  return {};
}

std::string temporary_name() {
  thread_local std::mt19937_64 random((std::uint64_t{std::random_device{}()} << 32) ^
                                      std::random_device{}());
  return fmt::format(".remora-tmp-{:016x}", random());
}

result<void> replace_file(int dir, const std::string& name, std::string_view bytes, mode_t mode) {
  const std::string temporary = temporary_name();
  const auto undo = [&](error e) {
    ::unlinkat(dir, temporary.c_str(), 0);
    return within(to_utf8(name), std::move(e));
  };
  REMORA_TRY(const unique_fd fd,
             open_at(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (auto written = write_all(fd.get(), bytes); !written) return undo(written.error());
  if (::fsync(fd.get()) != 0) return undo(os_error(errno, "cannot sync"));
  if (::renameat(dir, temporary.c_str(), dir, name.c_str()) != 0)
    return undo(os_error(errno, "cannot rename"));
  if (::fsync(dir) != 0) return os_error(errno, "cannot sync a directory");
  return {};
}

bool is_safe_name(std::string_view name, bool symbolic_link) {
  if (!is_tree_name(name)) return false;
  // A backslash separates components on Windows; git refuses `a\.git` everywhere (verify_path).
  for (const std::string_view part : split(name, '\\'))
    if (!part.empty() && part != "." && part != ".." && !is_tree_name(part)) return false;
  return !symbolic_link ||
         git_path_is_gitfile(name.data(), name.size(), GIT_PATH_GITFILE_GITMODULES,
                             GIT_PATH_FS_GENERIC) == 0;
}

}  // namespace remora::git

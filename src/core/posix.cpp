#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <stdexcept>

namespace remora {

void unique_fd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);  // never retried: Linux frees the descriptor even on EINTR
  fd_ = fd;
}

bool is_lack(const error& e) noexcept {
  return e.is_errno(EMFILE) || e.is_errno(ENFILE) || e.is_errno(ENOMEM);
}

bool says_gone(const error& e) noexcept {
  return e.is_errno(ENOENT) || e.is_errno(ENOTDIR) || e.is_errno(ELOOP) || e.is_errno(EISDIR) ||
         e.is_errno(ENXIO) || e.is(errc::unsupported) || e.is(errc::too_large) ||
         e.is(errc::corrupt);
}

result<unique_fd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode) {
  for (;;) {
    const int fd = ::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return unique_fd(fd);
    if (errno != EINTR) return os_error(errno, fmt::format("cannot open {}", to_utf8(path)));
  }
}

result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

result<std::string> read_fd(int fd, std::size_t limit) {
  std::string bytes;
  for (std::size_t filled = 0;;) {
    bytes.resize(filled + std::max<std::size_t>(filled, 16 << 10));
    const ssize_t n = ::read(fd, bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot read");
    filled += static_cast<std::size_t>(n);
    if (filled > limit) return fail(errc::too_large, fmt::format("more than {} bytes", limit));
    if (n == 0) {
      bytes.resize(filled);
      return bytes;
    }
  }
}

result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  REMORA_TRY(const unique_fd fd, open_file(path, O_RDONLY));
  auto bytes = read_fd(fd.get(), limit);
  if (!bytes) return within(to_utf8(path.string()), bytes.error());
  return bytes;
}

result<void> sync_directory(const std::filesystem::path& dir) {
  REMORA_TRY(const unique_fd fd, open_file(dir, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0)
    return os_error(errno, fmt::format("cannot sync {}", to_utf8(dir.string())));
  return {};
}

result<void> write_file_durably(const std::filesystem::path& path, std::string_view bytes,
                                mode_t mode) {
  std::string temporary = path.string() + ".XXXXXX";
  const unique_fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return os_error(errno, fmt::format("cannot create {}", to_utf8(temporary)));
  const auto undo = [&](error e) {
    ::unlink(temporary.c_str());
    return within(to_utf8(path.string()), std::move(e));
  };
  if (auto written = write_all(fd.get(), bytes); !written) return undo(written.error());
  if (::fchmod(fd.get(), mode) != 0) return undo(os_error(errno, "cannot set its mode"));
  if (::fsync(fd.get()) != 0) return undo(os_error(errno, "cannot sync"));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return undo(os_error(errno, "cannot rename"));
  return sync_directory(path.parent_path());
}

result<void> make_directories(const std::filesystem::path& dir, mode_t mode) {
  if (::mkdir(dir.c_str(), mode) == 0)
    return sync_directory(dir.parent_path().empty() ? "." : dir.parent_path());
  if (errno == EEXIST) {
    struct stat st{};
    if (::stat(dir.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
    return os_error(ENOTDIR, fmt::format("cannot use {}", to_utf8(dir.string())));
  }
  if (errno != ENOENT || !dir.has_parent_path() || dir.parent_path() == dir)
    return os_error(errno, fmt::format("cannot create {}", to_utf8(dir.string())));
  REMORA_CHECK(make_directories(dir.parent_path(), mode));
  return make_directories(dir, mode);
}

const std::string& host_name() {
  static const std::string known = [] {
    char name[256] = {};
    return std::string(::gethostname(name, sizeof name - 1) == 0 ? name : "unknown");
  }();
  return known;
}

const std::string& boot_id() {
  static const std::string id = [] {
    auto text = read_file("/proc/sys/kernel/random/boot_id", 128);
    if (!text) throw std::runtime_error(text.error().what);
    return std::string(trim(*text));
  }();
  return id;
}

}  // namespace remora

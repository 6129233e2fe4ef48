#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/git/worktree.hpp>

#include "git/careful.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 128;  // two descriptors a level

error failed(std::string_view what, std::string_view name) {
  return os_error(errno, fmt::format("cannot {} {}", what, to_utf8(name)));
}

result<void> copy_by_reading(int from, int to) {
  std::array<char, 128 << 10> piece;
  for (;;) {
    const ssize_t n = ::read(from, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "cannot read");
    if (n == 0) return {};
    REMORA_CHECK(write_all(to, {piece.data(), static_cast<std::size_t>(n)}));
  }
}

/// Shared extents where the file system has them, else a copy in the kernel, else by hand.
result<void> copy_bytes(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  for (;;) {
    constexpr std::size_t at_once = 64 << 20;
    const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, at_once, 0);
    if (n < 0 && errno == EINTR) continue;
    // Both offsets are where the last call left them: reading goes on from there.
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      return os_error(errno, "cannot copy");
    if (n <= 0) return copy_by_reading(from, to);
  }
}

class copier {
 public:
  explicit copier(std::stop_token stop) : stop_(std::move(stop)) {}

  /// `name` in `from` to the same name in `to`. What is there already stays.
  result<void> copy(int from, int to, const std::string& name, int depth) {
    if (stop_.stop_requested()) return fail(errc::stopped, "asked to stop while copying");
    struct stat st{};
    if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return errno == ENOENT ? result<void>() : failed("examine", name);
    if (S_ISDIR(st.st_mode)) return copy_directory(from, to, name, st, depth);
    if (S_ISLNK(st.st_mode)) return copy_link(from, to, name);
    if (S_ISREG(st.st_mode)) return copy_file(from, to, name);
    return {};  // a socket or FIFO belongs to a process, not to a checkout
  }

 private:
  result<void> copy_directory(int from, int to, const std::string& name, const struct stat& st,
                              int depth) {
    if (depth >= deepest)
      return fail(errc::too_large, fmt::format("{} is nested too deeply to copy", to_utf8(name)));
    const bool made = ::mkdirat(to, name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return failed("create", name);
    REMORA_TRY(const unique_fd source, open_directory(from, name));
    REMORA_TRY(const unique_fd target, open_directory(to, name));
    name_list names;
    REMORA_CHECK(names.read(source.get()));
    for (std::size_t i = 0; i < names.size(); ++i)
      REMORA_CHECK(copy(source.get(), target.get(), std::string(names.name(i)), depth + 1));
    // Last: it may take away our own right to write.
    if (made && ::fchmod(target.get(), st.st_mode & 0777) != 0) return failed("set up", name);
    return {};
  }

  static result<void> copy_link(int from, int to, const std::string& name) {
    REMORA_TRY(const std::string target, read_link(from, name.c_str()));
    if (::symlinkat(target.c_str(), to, name.c_str()) != 0 && errno != EEXIST)
      return failed("create", name);
    return {};
  }

  static result<void> copy_file(int from, int to, const std::string& name) {
    REMORA_TRY(const unique_fd source, open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat st{};
    if (::fstat(source.get(), &st) != 0) return failed("examine", name);
    if (!S_ISREG(st.st_mode)) return {};
    auto target = open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!target && target.error().is_errno(EEXIST)) return {};
    if (!target) return target.error();
    auto copied = copy_bytes(source.get(), target->get());
    const timespec times[2] = {st.st_atim, st.st_mtim};  // build tools compare them
    if (copied &&
        (::fchmod(target->get(), st.st_mode & 0777) != 0 || ::futimens(target->get(), times) != 0))
      copied = failed("set up", name);
    if (copied) return {};
    ::unlinkat(to, name.c_str(), 0);  // half a file would be taken for a whole one
    return within(to_utf8(name), copied.error());
  }

  std::stop_token stop_;
};

/// The components of `path`. Errors: errc::usage (leaves the checkout, or is git's own).
result<std::vector<std::string>> components(const std::string& path) {
  std::vector<std::string> parts;
  bool good = !path.starts_with('/') && path.find('\0') == path.npos;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    good = good && part != ".." && !(parts.empty() && part == ".git");
    parts.emplace_back(part);
  }
  if (!good || parts.empty())
    return fail(errc::usage, fmt::format("cannot copy '{}' into a worktree: name a path inside the "
                                         "checkout, without `..` and not `.git`",
                                         printable(path)));
  return parts;
}

using path_parts = std::span<const std::string>;

/// The directory `parts` below `dir`; without a descriptor where there is none.
unique_fd descend(int dir, path_parts parts) {
  auto at = open_directory(dir, ".");
  for (const std::string& part : parts)
    if (at) at = open_directory(at->get(), part);
  return at ? std::move(*at) : unique_fd();
}

/// The same, made where it is missing.
result<unique_fd> descend_making(int dir, path_parts parts) {
  REMORA_TRY(unique_fd at, open_directory(dir, "."));
  for (const std::string& part : parts) {
    if (::mkdirat(at.get(), part.c_str(), 0777) != 0 && errno != EEXIST)
      return failed("create", part);
    REMORA_TRY(at, open_directory(at.get(), part));
  }
  return at;
}

/// False if `path` is not there.
result<bool> copy_path(int from, int to, const std::string& path, copier& copies) {
  REMORA_TRY(const std::vector<std::string> parts, components(path));
  const path_parts above = path_parts(parts).first(parts.size() - 1);
  const unique_fd source = descend(from, above);
  struct stat st{};
  if (!source || ::fstatat(source.get(), parts.back().c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return false;
  REMORA_TRY(const unique_fd target, descend_making(to, above));
  REMORA_CHECK(copies.copy(source.get(), target.get(), parts.back(), 0));
  return true;
}

}  // namespace

result<std::vector<std::string>> copy_ignored(const fs::path& from, const fs::path& to,
                                              const std::vector<std::string>& paths,
                                              std::stop_token stop) {
  REMORA_TRY(const unique_fd source, open_directory(AT_FDCWD, from.string()));
  REMORA_TRY(const unique_fd target, open_directory(AT_FDCWD, to.string()));
  for (const std::string& path : paths) REMORA_CHECK(components(path));
  copier copies(std::move(stop));
  std::vector<std::string> missing;
  for (const std::string& path : paths) {
    auto copied = copy_path(source.get(), target.get(), path, copies);
    if (!copied) return within(to_utf8(path), copied.error());
    if (!*copied) missing.push_back(path);
  }
  return missing;
}

std::vector<std::string> worktree_include(const fs::path& checkout) {
  std::vector<std::string> paths;
  const auto text = read_file(checkout / ".worktreeinclude", 1 << 20);
  if (!text) return paths;  // the usual case: there is none
  for (std::string_view line : split(*text, '\n')) {
    line = trim(line);
    if (!line.empty() && line.front() != '#') paths.emplace_back(line);
  }
  return paths;
}

}  // namespace remora::git

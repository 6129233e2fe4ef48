// Files and links: what is still what it was, and reading what is not.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <remora/core/text.hpp>
#include <remora/git/left_out.hpp>

#include "git/handles.hpp"
#include "git/lfs.hpp"
#include "git/object_format.hpp"
#include "git/scanner.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

/// What the kernel writes back (vm.dirty_expire_centisecs, and 5 s between its looks) gets a new
/// time with the next store through a shared mapping; a page that is still dirty gets none.
constexpr std::chrono::nanoseconds longest_dirty = std::chrono::seconds(35);

constexpr std::int64_t second = 1'000'000'000;

bool is_file(mode m) {
  return m == mode::file || m == mode::executable;
}

git::mode mode_of(const struct stat& st) {
  if (S_ISLNK(st.st_mode)) return mode::symlink;
  return (st.st_mode & S_IXUSR) != 0 ? mode::executable : mode::file;
}

/// Nothing where the object is not there (a partial clone).
std::optional<std::uint64_t> object_size(const repository& repo, const oid& id) {
  const git_oid raw = to_git(id);
  std::size_t size = 0;
  git_object_t type{};
  if (git_odb_read_header(&size, &type, repo.odb(), &raw) != 0) {
    git_error_clear();
    return std::nullopt;
  }
  return size;
}

/// A filter program other than git-lfs, whose pointers are known by what they are. No pattern:
/// libgit2 1.5.1 leaks 20 KB for each key that one does not match.
int is_filter_program(const git_config_entry* e, void* found) {
  const std::string_view name = e->name;
  const bool program = name.ends_with(".smudge") || name.ends_with(".process");
  if (program && name.starts_with("filter.") && !name.starts_with("filter.lfs."))
    *static_cast<bool*>(found) = true;
  return 0;
}

/// Then an equal size does not tell which of the two is on disk.
bool is_lfs_pointer(const repository& repo, const oid& id, std::uint64_t size) {
  if (lfs::pointer_size(size) != size) return false;
  const auto bytes = repo.read_blob(id);
  return !bytes || lfs::is_pointer(*bytes);
}

bool readable(const std::filesystem::path& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

conversions conversions::of(const repository& repo) {
  conversions c;
  c.everywhere = readable(repo.common_dir() / "info/attributes") || readable("/etc/gitattributes");
  git_config* raw = nullptr;
  if (git_repository_config_snapshot(&raw, repo.raw()) != 0) {
    git_error_clear();
    return c;
  }
  const config_handle config(raw);
  const char* text = nullptr;
  if (git_config_get_string(&text, raw, "core.autocrlf") == 0)
    c.everywhere = c.everywhere || std::string_view(text) != "false";
  if (git_config_get_string(&text, raw, "core.attributesfile") == 0) c.everywhere = true;
  git_error_clear();
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (xdg && *xdg)
    c.everywhere = c.everywhere || readable(std::filesystem::path(xdg) / "git/attributes");
  else if (home && *home)
    c.everywhere = c.everywhere || readable(std::filesystem::path(home) / ".config/git/attributes");
  git_config_foreach(raw, is_filter_program, &c.programs);
  return c;
}

bool scanner::is_racy(const stamp& s) const {
  // A file system without fractions of a second stamps a change with the second's start.
  const bool whole = s.modified_ns % second == 0 && s.changed_ns % second == 0;
  const std::int64_t limit = whole ? started_ns_ - started_ns_ % second : started_ns_;
  return std::max(s.modified_ns, s.changed_ns) >= limit;
}

bool scanner::may_be_mapped(const stamp& s) const {
  return std::max(s.modified_ns, s.changed_ns) >= started_ns_ - longest_dirty.count();
}

/// The record as it is now, if the disk still has what it names.
std::optional<record> scanner::still_valid(const place& here, const found& at,
                                           const struct stat& st) {
  if (!at.was_there()) return std::nullopt;
  const record& old = *at.before;
  const stamp live = stamp_of(st);
  const git::mode now = mode_of(st);
  if (old.stamp.inode == 0 || old.racy || is_file(old.mode) != is_file(now)) return std::nullopt;
  if (old.stamp != (old.from_index ? truncated(live) : live)) return std::nullopt;
  if (!may_name(old.id, old.written)) return std::nullopt;
  record r = old;
  r.mode = now;
  r.kept = false;
  r.linked = is_linked(st);
  if (old.from_index) {
    // The index has 32 bits for the size, and vouches for the object, not for the bytes on disk.
    if (live.size > std::numeric_limits<std::uint32_t>::max() || now != old.mode)
      return std::nullopt;
    if (here.attributes && is_file(now)) {
      const auto size = object_size(repo_, old.id);
      if (!size || rules_.convert.programs) return std::nullopt;
      r.converted = *size != static_cast<std::uint64_t>(live.size);
      if (!r.converted && is_lfs_pointer(repo_, old.id, *size)) return std::nullopt;
    }
    r.from_index = false;
    r.stamp = live;
    r.racy = is_racy(live);
  }
  return r;
}

result<bool> scanner::visit_file(place& here, found& at, const struct stat& st) {
  ++out_.files_scanned;
  if (const auto valid = still_valid(here, at, st)) {
    emit(at, *valid);
    return true;
  }
  return read_file(here, at);
}

result<bool> scanner::visit_link(place& here, found& at, const struct stat& st) {
  ++out_.files_scanned;
  if (const auto valid = still_valid(here, at, st)) {
    emit(at, *valid);
    return true;
  }
  if (!is_safe_name(at.name, true)) {
    leave_out_kept(at, "name refused by git");
    return true;
  }
  const auto target = read_link(here.fd(), at.c_name());
  if (!target && target.error().is_errno(EINVAL)) return false;  // no link any more
  if (!target) return cannot_open(at, target.error());
  record r;
  r.mode = mode::symlink;
  REMORA_TRY(r.id, sink_.blob(*target));
  r.stamp = stamp_of(st);
  r.racy = is_racy(r.stamp);
  r.in_base = at.before && at.before->in_base;
  r.written = number_;
  ++out_.files_read;
  emit(at, r);
  return true;
}

result<bool> scanner::read_file(place& here, found& at) {
  if (stop_.stop_requested()) return fail(errc::stopped, "the snapshot was stopped");
  const auto fd =
      open_at(here.fd(), std::string(at.name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!fd) return cannot_open(at, fd.error());
  return capture(fd->get(), at);
}

/// Reads until two stats agree (W11, W12); then, or the third time anyway, it is taken.
result<bool> scanner::capture(int fd, found& at) {
  const bool was_base = at.before && at.before->written == 0 && !at.before->id.is_zero();
  if (was_base) sink_.trust(at.before->id);
  constexpr int tries = 3;
  for (int i = 1; i <= tries; ++i) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return os_error(errno, to_utf8(at.path));
    if (!S_ISREG(st.st_mode)) return false;
    const auto size = static_cast<std::uint64_t>(st.st_size);
    const bool fits_alone = size <= rules_.max_file_bytes;
    if (!fits_alone || !rules_.has_room(size, sink_)) {
      leave_out_kept(at, fits_alone ? beyond_snapshot : too_large);
      return true;
    }
    auto id = read_once(fd, at, st, i == tries);
    if (!id && id.error().is(errc::unsupported)) {
      cannot_read(at, id.error());
      return true;
    }
    if (!id) return within(to_utf8(at.path), id.error());
    if (!*id) continue;
    struct stat after{};
    const bool settled = ::fstat(fd, &after) == 0 && stamp_of(after) == stamp_of(st);
    if (!settled && i < tries) continue;
    record r;
    r.mode = mode_of(st);
    r.id = **id;
    r.in_base = at.before && at.before->in_base;
    r.written = was_base && r.id == at.before->id ? 0 : number_;
    r.linked = is_linked(st);
    if (settled) {
      r.stamp = stamp_of(st);
      r.racy = is_racy(r.stamp) || may_be_mapped(r.stamp);
    } else {
      leave_out(at, torn);
    }
    ++out_.files_read;
    emit(at, r);
    return true;
  }
  leave_out_kept(at, torn);
  return true;
}

/// Nothing: the file changed meanwhile, read it again. Errors: errc::unsupported where the file is
/// at fault; all others are the object database's.
result<std::optional<oid>> scanner::read_once(int fd, const found& at, const struct stat& st,
                                              bool last_try) {
  if (const auto size = static_cast<std::uint64_t>(st.st_size); size < read_whole_below) {
    buffer_.resize(size);
    const auto read = read_at(fd, buffer_, 0);
    if (!read) return fail(errc::unsupported, read.error().what);
    buffer_.resize(*read);
    struct stat after{};
    const bool settled = ::fstat(fd, &after) == 0 && stamp_of(after) == stamp_of(st);
    if (!settled && !last_try) return std::optional<oid>();
    REMORA_TRY(const oid id, sink_.blob(buffer_));
    return std::optional(id);
  }
  // Most that may have changed have not, and to hash one takes a tenth of what writing it does.
  if (at.was_there() && at.before->stamp == stamp_of(st) &&
      may_name(at.before->id, at.before->written)) {
    if (const auto same = hash_file(fd); same && *same == at.before->id)
      return std::optional(*same);
    git_error_clear();
  }
  auto id = sink_.blob_from(fd, static_cast<std::uint64_t>(st.st_size));
  if (!id && id.error().is(errc::vanished)) return std::optional<oid>();
  if (!id) return id.error();
  return std::optional(*id);
}

}  // namespace remora::git

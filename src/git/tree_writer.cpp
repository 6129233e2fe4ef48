#include "git/tree_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <remora/core/text.hpp>
#include <remora/git/left_out.hpp>

#include "git/handles.hpp"
#include "git/lfs.hpp"
#include "git/object_format.hpp"

namespace remora::git {
namespace {

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string() : path.substr(0, slash);
}

result<unique_fd> open_parent(int root, const std::string& path) {
  const std::string parent = parent_of(path);
  return open_beneath(root, parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
}

/// A name in nobody's way: renamed over what is there, or only where nothing is.
result<void> publish(int dir, const std::string& temporary, const std::string& name,
                     bool replaces) {
  const unsigned flags = replaces ? 0 : RENAME_NOREPLACE;
  if (::renameat2(dir, temporary.c_str(), dir, name.c_str(), flags) == 0) return {};
  const int why = errno;
  ::unlinkat(dir, temporary.c_str(), 0);
  return os_error(why, to_utf8(name));
}

/// Whether what is at `name` can never be replaced: immutable, or in such a directory (W23),
/// somebody else's in a sticky one, or in one that is not ours to change. A refusal without a
/// reason that stays may be none the next time.
bool is_held(int dir, const std::string& name, const error& e) {
  if (!e.is_errno(EPERM) && !e.is_errno(EACCES)) return false;
  struct statx it{}, above{};
  if (::statx(dir, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &it) != 0 ||
      ::statx(dir, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &above) != 0)
    return false;
  constexpr auto fixed = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
  const bool sticky = (above.stx_mode & S_ISVTX) && it.stx_uid != ::geteuid();
  return ((it.stx_attributes | above.stx_attributes) & fixed) || sticky ||
         ::faccessat(dir, ".", W_OK, AT_EACCESS) != 0;
}

bool in_the_way(const error& e) {
  for (const int code : {EEXIST, EISDIR, ENOTDIR, ENOTEMPTY, ELOOP})
    if (e.is_errno(code)) return true;
  return false;
}

}  // namespace

result<oid> hash_sink::blob(std::string_view bytes) {
  return hash_object(bytes, GIT_OBJECT_BLOB);
}

result<oid> hash_sink::blob_from(int fd, std::uint64_t) {
  return hash_file(fd);
}

result<oid> hash_sink::tree(std::vector<tree_entry> entries) {
  REMORA_TRY(const std::string bytes, format_tree(std::move(entries)));
  return hash_object(bytes, GIT_OBJECT_TREE);
}

tree_writer::tree_writer(const repository& repo, int root, const write_request& request,
                         std::stop_token stop)
    : repo_(repo), root_(root), request_(request), stop_(std::move(stop)) {
  for (const omission& o : request.manifest->left_out)
    if (is_spared(o.reason)) spared_.insert(o.path);
  converted_.insert(request.manifest->converted.begin(), request.manifest->converted.end());
  for (const submodule_files& s : request.manifest->submodules) filled_.insert(s.path);
  if (!request.now) return;
  const manifest& now = request.now->manifest;
  converted_now_.insert(now.converted.begin(), now.converted.end());
}

result<restore_report> tree_writer::run() {
  const directory* now = request_.now ? request_.now->root.get() : nullptr;
  if (!request_.tree.is_zero()) {
    REMORA_CHECK(directory_at(root_, "", 0, request_.tree, now));
  }
  REMORA_CHECK(links());
  return std::move(report_);
}

result<void> tree_writer::directory_at(int dir, const std::string& prefix, int depth,
                                       const oid& tree, const directory* now) {
  if (stop_.stop_requested()) return fail(errc::stopped, "the restore was stopped");
  // One of them would be skipped or written by its path, whatever its object is.
  const bool alike = converted_ == converted_now_ && request_.skipped.empty();
  if (now && alike && now->tree == tree && !now->any_kept) return {};
  auto entries = repo_.read_tree(tree);
  if (!entries) {
    if (!entries.error().is(errc::corrupt)) return entries.error();
    refuse(prefix.empty() ? "." : prefix, "its tree cannot be read");
    return {};
  }
  for (const tree_entry& e : *entries) {
    const std::string path = prefix + e.name;
    if (!is_safe_name(e.name, e.mode == mode::symlink))
      refuse(path, "name refused");
    else if (path.size() > scanner::max_path_bytes || depth >= scanner::max_depth)
      refuse(path, "path too long");
    else if (auto done = entry_at(dir, path, depth, e, now); !done)
      return done.error();
  }
  return {};
}

bool tree_writer::is_skipped(const std::string& path, const tree_entry& e) const {
  const auto found = request_.skipped.find(path);
  return found != request_.skipped.end() && found->second == e.id;
}

bool tree_writer::is_there(const std::string& path, const tree_entry& e,
                           const std::optional<record>& old) const {
  return old && !old->gone && !old->kept && old->id == e.id && old->mode == e.mode &&
         converted_.contains(path) == converted_now_.contains(path);
}

result<void> tree_writer::entry_at(int dir, const std::string& path, int depth, const tree_entry& e,
                                   const directory* now) {
  const auto old = now ? now->find(e.name) : std::nullopt;
  const directory* below =
      old && !old->gone && old->mode == mode::directory ? now->child(*old) : nullptr;
  if (e.mode == mode::directory) return subdirectory(dir, path, depth, e, old, below);
  if (e.mode == mode::commit) return submodule(dir, path, e.name);
  const bool skipped = is_skipped(path, e);
  if (!skipped && is_there(path, e, old)) return {};
  struct stat st{};
  const bool exists = ::fstatat(dir, e.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && spared_.contains(path)) {
    refuse(path, "what is there is not in the checkpoint");
    return {};
  }
  if (exists && S_ISDIR(st.st_mode) && !clear_directory(dir, path, e.name, below)) {
    refuse(path, "a directory with other files is in the way");
    return {};
  }
  if (skipped) {
    if (exists && ::unlinkat(dir, e.name.c_str(), 0) == 0) ++report_.files_removed;
    return {};
  }
  REMORA_TRY(const std::optional<std::string> bytes, content(path, e));
  if (!bytes) return {};
  if (e.mode == mode::symlink) {
    links_.push_back({path, *bytes});
    return {};
  }
  const bool replaces = exists && old && !old->gone;
  auto put = put_file(dir, path, e, *bytes, replaces);
  if (!put && in_the_way(put.error()))
    refuse(path, "something else is in the way, perhaps a name that differs only in case");
  else if (!put && is_held(dir, e.name, put.error()))
    refuse(path, "what is there cannot be replaced");
  else if (!put)
    return within(to_utf8(path), put.error());
  return {};
}

result<void> tree_writer::subdirectory(int dir, const std::string& path, int depth,
                                       const tree_entry& e, const std::optional<record>& old,
                                       const directory* below) {
  auto fd = open_directory(dir, e.name);
  const bool other = !fd && (fd.error().is_errno(ENOTDIR) || fd.error().is_errno(ELOOP));
  if (other && spared_.contains(path)) {
    refuse(path, "what is there is not in the checkpoint");
    return {};
  }
  if (other && ::unlinkat(dir, e.name.c_str(), 0) == 0) ++report_.files_removed;
  if (!fd) {
    if (!old || old->gone) {
      REMORA_TRY(const bool sparse, all_skipped(path, e.id));
      if (sparse) return {};
    }
    if (::mkdirat(dir, e.name.c_str(), 0777) != 0 && errno != EEXIST)
      return os_error(errno, fmt::format("cannot make {}", to_utf8(path)));
    fd = open_directory(dir, e.name);
  }
  if (!fd) {
    refuse(path, "the directory cannot be opened");
    return {};
  }
  return directory_at(fd->get(), path + '/', depth + 1, e.id, below);
}

/// All of a directory is outside of the sparse checkout: git does not make it then.
result<bool> tree_writer::all_skipped(const std::string& path, const oid& tree) const {
  const auto first = request_.skipped.lower_bound(path + '/');
  if (first == request_.skipped.end() || !first->first.starts_with(path + '/')) return false;
  REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(tree));
  for (const tree_entry& e : entries) {
    const std::string inner = path + '/' + e.name;
    if (e.mode != mode::directory && !is_skipped(inner, e)) return false;
    if (e.mode != mode::directory) continue;
    REMORA_TRY(const bool all, all_skipped(inner, e.id));
    if (!all) return false;
  }
  return true;
}

result<void> tree_writer::submodule(int dir, const std::string& path, const std::string& name) {
  const bool made = ::mkdirat(dir, name.c_str(), 0777) == 0;
  if (made && !filled_.contains(path))
    refuse(path, "submodule: its files are not filled in");
  else if (!made && errno != EEXIST)
    return os_error(errno, fmt::format("cannot make {}", to_utf8(path)));
  return {};
}

/// `unfiltered` gets the name of a filter that would have had to run.
result<std::string> tree_writer::as_checked_out(const std::string& path, const oid& blob,
                                                std::string& unfiltered) {
  if (!filter_) {
    REMORA_TRY(filter_, checkout_filter::open(repo_, request_.attributes));
  }
  REMORA_TRY(checkout_filter::converted file, filter_->convert(blob, path));
  unfiltered = std::move(file.unfiltered);
  return std::move(file.bytes);
}

/// Nothing where the object cannot be had: that is reported.
result<std::optional<std::string>> tree_writer::content(const std::string& path,
                                                        const tree_entry& e) {
  std::string unfiltered;
  auto bytes = converted_.contains(path) && e.mode != mode::symlink
                   ? as_checked_out(path, e.id, unfiltered)
                   : repo_.read_blob(e.id);
  if (bytes && unfiltered == "lfs" && lfs::is_pointer(*bytes)) {
    REMORA_TRY(std::optional<std::string> file, lfs(repo_).file_of(*bytes));
    if (file) return file;
    refuse(path,
           "a pointer of git-lfs, whose file is not in this repository: try git lfs fetch --all");
  } else if (!unfiltered.empty()) {
    refuse(path, fmt::format("the filter '{}' was not run", unfiltered));
  }
  if (bytes) return std::optional(std::move(*bytes));
  if (!bytes.error().is(errc::corrupt)) return bytes.error();
  refuse(path, "its object cannot be read");
  return std::optional<std::string>();
}

result<void> tree_writer::put_file(int dir, const std::string& path, const tree_entry& e,
                                   const std::string& bytes, bool replaces) {
  const std::string temporary = temporary_name();
  const mode_t permissions = e.mode == mode::executable ? 0777 : 0666;  // the umask takes from it
  REMORA_TRY(const unique_fd fd,
             open_at(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, permissions));
  if (auto written = write_all(fd.get(), bytes); !written) {
    ::unlinkat(dir, temporary.c_str(), 0);
    return written.error();
  }
  REMORA_CHECK(publish(dir, temporary, last_part(path), replaces));
  ++report_.files_written;
  return {};
}

/// Removes the captured files below and the directory, if nothing else is in it.
bool tree_writer::clear_directory(int dir, const std::string& path, const std::string& name,
                                  const directory* below) {
  if (const auto fd = open_directory(dir, name); fd && below)
    for (const record& r : below->records()) {
      const std::string inner_name(r.name);
      const std::string inner = path + '/' + inner_name;
      if (r.gone || r.kept || spared_.contains(inner)) continue;
      if (r.mode == mode::directory)
        clear_directory(fd->get(), inner, inner_name, below->child(r));
      else if (::unlinkat(fd->get(), inner_name.c_str(), 0) == 0)
        ++report_.files_removed;
    }
  return ::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0;
}

/// Last: until now nothing of ours could be led through one (CVE-2021-21300, CVE-2025-48384).
result<void> tree_writer::links() {
  for (const link& l : links_) {
    const auto dir = open_parent(root_, l.path);
    const std::string temporary = temporary_name();
    if (!dir || ::symlinkat(l.target.c_str(), dir->get(), temporary.c_str()) != 0) {
      refuse(l.path, "the link cannot be made");
      continue;
    }
    if (auto done = publish(dir->get(), temporary, last_part(l.path), true); !done)
      refuse(l.path, "something else is in the way");
    else
      ++report_.files_written;
  }
  return {};
}

void tree_writer::refuse(const std::string& path, std::string_view why) {
  report_.not_restored.push_back({path, std::string(why)});
}

void make_empty_directories(int root, const manifest& wanted, restore_report& report) {
  for (const std::string& path : wanted.empty_directories)
    if (!make_path(root, path))
      report.not_restored.push_back({path, "the directory cannot be made"});
}

result<unique_fd> make_path(int root, const std::string& path) {
  REMORA_TRY(unique_fd at, open_beneath(root, ".", O_RDONLY | O_DIRECTORY));
  for (const std::string_view part : split(path, '/')) {
    if (!is_safe_name(part, false))
      return fail(errc::usage, fmt::format("the path {} is refused", to_utf8(path)));
    const std::string name(part);
    if (::mkdirat(at.get(), name.c_str(), 0777) != 0 && errno != EEXIST)
      return os_error(errno, fmt::format("cannot make {}", to_utf8(path)));
    REMORA_TRY(at, open_directory(at.get(), name));
  }
  return at;
}

}  // namespace remora::git

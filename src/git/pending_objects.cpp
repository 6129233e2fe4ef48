#include "git/pending_objects.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <remora/core/text.hpp>
#include <set>

#include "git/handles.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_single_syncs = 64;

fs::path loose_name(const oid& id) {
  const std::string hex = id.hex();
  return fs::path(hex.substr(0, 2)) / hex.substr(2);
}

error cannot(std::string_view verb, const fs::path& path) {
  return os_error(errno, fmt::format("cannot {} {}", verb, to_utf8(path.string())));
}

/// As a loose file holds it. libgit2's own writer syncs each file while GIT_OPT_ENABLE_FSYNC_GITDIR
/// is on, whatever its flags say.
result<std::string> deflated(std::string_view bytes, git_object_t type) {
  std::string whole = fmt::format("{} {}", git_object_type2string(type), bytes.size());
  whole += '\0';
  whole += bytes;
  uLongf size = ::compressBound(static_cast<uLong>(whole.size()));
  std::string packed(size, '\0');
  const int code =
      ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                  reinterpret_cast<const Bytef*>(whole.data()), whole.size(), Z_BEST_SPEED);
  if (code != Z_OK) return os_error(ENOMEM, "cannot compress an object");
  packed.resize(size);
  return packed;
}

result<void> write_new(const fs::path& file, std::string_view bytes) {
  ::unlink(file.c_str());
  REMORA_TRY(const unique_fd fd, open_file(file, O_WRONLY | O_CREAT | O_EXCL, 0444));
  auto wrote = write_all(fd.get(), bytes);
  if (!wrote) ::unlink(file.c_str());
  return wrote;
}

result<void> make_directory(const fs::path& directory, mode_t mode) {
  if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST) return cannot("make", directory);
  return {};
}

}  // namespace

pending_objects::pending_objects(const repository& repo)
    : repo_(repo), objects_(repo.common_dir() / "objects") {
  if (auto fd = open_file(objects_, O_RDONLY | O_DIRECTORY)) watched_ = std::move(*fd);
}

pending_objects::~pending_objects() {
  std::error_code ignored;
  if (!waiting_.empty()) fs::remove_all(waiting_, ignored);
}

/// `git prune` removes a directory of this name that a crash left, and one that is in use.
result<void> pending_objects::open() {
  if (!waiting_.empty()) return make_directory(waiting_, 0700);
  std::string name = (objects_ / "tmp_objdir-remora-XXXXXX").string();
  if (!::mkdtemp(name.data())) return cannot("make a directory in", objects_);
  waiting_ = name;
  if (const int code = git_odb_add_disk_alternate(repo_.odb(), name.c_str()); code != 0)
    return git_failure(code, "cannot read from the object database");
  return {};
}

result<void> pending_objects::write(const oid& id, std::string_view bytes, git_object_t type) {
  REMORA_CHECK(open());
  REMORA_TRY(const std::string packed, deflated(bytes, type));
  const fs::path file = waiting_ / loose_name(id);
  REMORA_CHECK(make_directory(file.parent_path(), 0700));
  return write_new(file, packed);
}

result<void> pending_objects::sync_files(std::span<const oid> ids) const {
  if (ids.size() > most_single_syncs) {
    if (::syncfs(watched_.get()) != 0) return cannot("sync the file system of", objects_);
    return {};
  }
  std::vector<unique_fd> files;
  for (const oid& id : ids) {
    REMORA_TRY(unique_fd fd, open_file(waiting_ / loose_name(id), O_RDONLY | O_NOFOLLOW));
    // All blocks are allocated before the first sync: one commit of a file system's log does.
    ::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    files.push_back(std::move(fd));
  }
  for (std::size_t i = 0; i < files.size(); ++i)
    if (::fsync(files[i].get()) != 0) return cannot("sync", waiting_ / loose_name(ids[i]));
  return {};
}

result<void> pending_objects::rename(const oid& id) const {
  const fs::path name = loose_name(id);
  const fs::path from = waiting_ / name;
  const fs::path to = objects_ / name;
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  if (errno != ENOENT) return cannot("make", to);
  const fs::path fan_out = to.parent_path();
  REMORA_CHECK(make_directory(fan_out, 0777));
  if (::rename(from.c_str(), to.c_str()) != 0) return cannot("make", to);
  return {};
}

result<void> pending_objects::sync_names(std::span<const oid> ids) const {
  std::set<fs::path> directories{objects_};
  for (const oid& id : ids) directories.insert(objects_ / loose_name(id).parent_path());
  if (directories.size() > most_single_syncs) {
    if (::syncfs(watched_.get()) != 0) return cannot("sync the file system of", objects_);
    return {};
  }
  for (const fs::path& directory : directories) REMORA_CHECK(sync_directory(directory));
  return {};
}

result<void> pending_objects::settle(std::span<const oid> ids) {
  if (ids.empty()) return {};
  REMORA_CHECK(sync_files(ids));
  for (const oid& id : ids) REMORA_CHECK(rename(id));
  return sync_names(ids);
}

}  // namespace remora::git

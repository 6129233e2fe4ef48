#include "git/object_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <remora/core/text.hpp>

#include "git/pack_files.hpp"
#include "git/pack_format.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_single_syncs = 64;
constexpr int deepest_alternate = 5;  // as git's own limit

/// `objects/ab/cdef…` as the two parts below `objects`.
std::pair<std::string, std::string> loose_name(const oid& id) {
  const std::string hex = id.hex();
  return {hex.substr(0, 2), hex.substr(2)};
}

/// The `.pack` below `directory` that holds `id`, or an empty path.
fs::path pack_of(const fs::path& directory, const oid& id) {
  std::error_code ec;
  for (fs::directory_iterator it(directory / "pack", ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() != ".idx") continue;
    const auto index = open_file(it->path(), O_RDONLY);
    if (index && pack_index_names(index->get(), id))
      return fs::path(it->path()).replace_extension(".pack");
  }
  return {};
}

result<void> sync_file(const std::string& path) {
  REMORA_TRY(const unique_fd fd, open_file(path, O_RDONLY | O_NOFOLLOW));
  if (::fsync(fd.get()) != 0) return os_error(errno, fmt::format("cannot sync {}", to_utf8(path)));
  return {};
}

result<void> sync_file_system(int fd, const fs::path& of) {
  if (::syncfs(fd) != 0)
    return os_error(errno, fmt::format("cannot sync the file system of {}", to_utf8(of.string())));
  return {};
}

/// Appends what `objects/info/alternates` names, and what those name.
void add_alternates(const fs::path& objects, int depth, std::vector<fs::path>& found) {
  if (depth > deepest_alternate) return;
  const auto text = read_file(objects / "info" / "alternates", 1 << 20);
  if (!text) return;  // the usual case: there is none
  for (const std::string_view line : split(*text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    const fs::path directory = (objects / fs::path(std::string(line))).lexically_normal();
    if (std::find(found.begin(), found.end(), directory) != found.end()) continue;
    found.push_back(directory);
    add_alternates(directory, depth + 1, found);
  }
}

}  // namespace

object_files::object_files(fs::path objects) : objects_(std::move(objects)) {
  if (auto fd = open_file(objects_, O_RDONLY | O_DIRECTORY)) watched_ = std::move(*fd);
  for (our_files& files : list_our_packs(objects_ / "pack")) older_.insert(std::move(files.stem));
}

result<std::vector<fs::path>> object_files::object_directories() const {
  if (!watched_)
    return fail(errc::repository,
                fmt::format("cannot open the object directory {}", to_utf8(objects_.string())));
  std::vector<fs::path> directories{objects_};
  add_alternates(objects_, 0, directories);
  return directories;
}

result<void> object_files::collect(const oid& id, const std::vector<fs::path>& directories,
                                   worklist& work) const {
  const auto [fan_out, rest] = loose_name(id);
  for (const fs::path& directory : directories) {
    const fs::path loose = directory / fan_out / rest;
    if (::access(loose.c_str(), F_OK) == 0) {
      work.files.insert(loose.string());
      work.directories.insert(loose.parent_path().string());
      work.directories.insert(directory.string());
      return {};
    }
    if (const fs::path pack = pack_of(directory, id); !pack.empty()) {
      if (synced_packs_.contains(pack.string())) return {};
      work.files.insert(pack.string());
      work.files.insert(fs::path(pack).replace_extension(".idx").string());
      work.directories.insert(pack.parent_path().string());
      return {};
    }
  }
  return fail(errc::corrupt,
              fmt::format("object {} is missing from {}", id.hex(), to_utf8(objects_.string())));
}

result<void> object_files::sync_files(std::span<const oid> ids) {
  REMORA_TRY(const std::vector<fs::path> directories, object_directories());
  worklist work;
  for (const oid& id : ids) REMORA_CHECK(collect(id, directories, work));
  for (const std::string& file : work.files) REMORA_CHECK(sync_file(file));
  for (const std::string& directory : work.directories) REMORA_CHECK(sync_directory(directory));
  for (const std::string& file : work.files)
    if (file.ends_with(".pack")) synced_packs_.insert(file);
  return {};
}

std::vector<oid> object_files::not_in_our_packs(std::span<const oid> ids) const {
  if (ids.empty()) return {};
  const fs::path directory = objects_ / "pack";
  std::vector<unique_fd> indexes;
  for (const our_files& files : list_our_packs(directory))
    if (files.pack && files.index && files.keep && !older_.contains(files.stem))
      if (auto fd = open_file(pack_path(directory, files.stem, ".idx"), O_RDONLY))
        indexes.push_back(std::move(*fd));
  std::vector<oid> others;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(others), [&](const oid& id) {
    return std::none_of(indexes.begin(), indexes.end(),
                        [&](const unique_fd& fd) { return pack_index_names(fd.get(), id); });
  });
  return others;
}

result<void> object_files::sync_names() const {
  return sync_directory(objects_ / "pack");
}

result<void> object_files::sync(std::span<const oid> ids) {
  if (ids.empty()) return {};
  if (ids.size() > most_single_syncs) return sync_everything();
  auto synced = sync_files(ids);
  // A repack may move an object between the look and the open; it is somewhere else then.
  const bool disappeared =
      !synced && (synced.error().is_errno(ENOENT) || synced.error().is(errc::corrupt));
  return disappeared ? sync_files(ids) : synced;
}

result<void> object_files::sync_everything() {
  REMORA_TRY(const std::vector<fs::path> directories, object_directories());
  REMORA_CHECK(sync_file_system(watched_.get(), objects_));
  for (std::size_t i = 1; i < directories.size(); ++i) {
    REMORA_TRY(const unique_fd fd, open_file(directories[i], O_RDONLY | O_DIRECTORY));
    REMORA_CHECK(sync_file_system(fd.get(), directories[i]));
  }
  return {};
}

}  // namespace remora::git

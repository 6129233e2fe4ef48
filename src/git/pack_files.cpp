#include "git/pack_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <remora/core/text.hpp>
#include <utility>

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view our_beginning = "pack-72656d6f7261";
constexpr std::size_t stem_bytes = 5 + 40;
constexpr int tries = 16;

std::uint64_t random_number() {
  thread_local std::mt19937_64 random((std::uint64_t{std::random_device{}()} << 32) ^
                                      std::random_device{}());
  return random();
}

/// A sweep may meet the file between its creation and its lock, and take it for a dead one's.
bool is_there(int fd) {
  struct stat st{};
  return ::fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/// The directory itself is locked by those who merge and mend, for longer.
unique_fd lock_names(const fs::path& directory, int how) {
  auto lock = open_file(directory.parent_path(), O_RDONLY | O_DIRECTORY);
  if (!lock) return {};
  while (::flock(lock->get(), how) != 0)
    if (errno != EINTR) break;
  return std::move(*lock);
}

}  // namespace

held_file::held_file(unique_fd fd, fs::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

held_file::held_file(held_file&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}

held_file::~held_file() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

result<held_file> held_file::make(const fs::path& directory, std::string_view ending) {
  for (int i = 0; i < tries; ++i) {
    fs::path path = directory / fmt::format("remora-{:016x}{}", random_number(), ending);
    auto fd = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
    if (!fd && fd.error().is_errno(ENOENT)) {  // no pack was ever made there
      REMORA_CHECK(make_directories(directory, 0777));
      fd = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
    }
    if (!fd && !fd.error().is_errno(EEXIST)) return fd.error();
    if (fd && take_hold(fd->get()) && is_there(fd->get()))
      return held_file(std::move(*fd), std::move(path));
  }
  return fail(errc::repository, fmt::format("new files in {} go at once: is something removing "
                                            "them?",
                                            to_utf8(directory.string())));
}

result<void> held_file::sync() const {
  if (::fsync(fd()) != 0)
    return os_error(errno, fmt::format("cannot sync {}", to_utf8(path_.string())));
  return {};
}

result<void> held_file::name(const fs::path& to) {
  if (::rename(path_.c_str(), to.c_str()) != 0)
    return os_error(errno, fmt::format("cannot make {}", to_utf8(to.string())));
  path_.clear();
  return {};
}

bool is_held_name(std::string_view file) {
  return file.starts_with("remora-") && file.ends_with(".tmp");
}

bool take_hold(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

bool is_abandoned(int fd) {
  // Shared: for the other kind NFS wants a file that is open for writing.
  return ::flock(fd, LOCK_SH | LOCK_NB) == 0;
}

std::string new_pack_stem() {
  return fmt::format("{}{:012x}{:016x}", our_beginning, random_number() >> 16, random_number());
}

bool is_our_stem(std::string_view stem) {
  return stem.size() == stem_bytes && stem.starts_with(our_beginning);
}

std::vector<our_files> list_our_packs(const fs::path& directory) {
  std::map<std::string, our_files> found;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string stem = it->path().stem().string();
    if (!is_our_stem(stem)) continue;
    our_files& files = found[stem];
    const std::string ending = it->path().extension().string();
    files.pack = files.pack || ending == ".pack";
    files.index = files.index || ending == ".idx";
    files.keep = files.keep || ending == ".keep";
    files.aside = files.aside || ending == aside_ending;
  }
  std::vector<our_files> all;
  for (auto& [stem, files] : found) {
    files.stem = stem;
    all.push_back(std::move(files));
  }
  return all;
}

fs::path pack_path(const fs::path& directory, std::string_view stem, std::string_view ending) {
  return directory / fmt::format("{}{}", stem, ending);
}

bool is_same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool is_younger(const timespec& time, std::chrono::minutes than) {
  using namespace std::chrono;
  const auto at = system_clock::time_point(
      duration_cast<system_clock::duration>(seconds(time.tv_sec) + nanoseconds(time.tv_nsec)));
  return at > system_clock::now() - than;
}

bool pack_times::is_relied_on() const {
  return !is_same(now, first);
}

std::optional<pack_times> read_pack_times(const fs::path& directory, std::string_view stem) {
  struct stat pack{}, keep{};
  if (::lstat(pack_path(directory, stem, ".pack").c_str(), &pack) != 0) return std::nullopt;
  if (::lstat(pack_path(directory, stem, ".keep").c_str(), &keep) != 0) return std::nullopt;
  return pack_times{pack.st_mtim, keep.st_mtim};
}

unique_fd keep_packs(const fs::path& directory) {
  return lock_names(directory, LOCK_SH);
}

unique_fd take_packs(const fs::path& directory) {
  return lock_names(directory, LOCK_EX);
}

std::optional<timespec> remove_pack(const fs::path& directory, std::string_view stem) {
  const auto pack = open_file(pack_path(directory, stem, ".pack"), O_RDONLY | O_NOFOLLOW);
  auto times = read_pack_times(directory, stem);
  for (const char* ending : {".idx", ".pack", ".keep"})
    ::unlink(pack_path(directory, stem, ending).c_str());
  struct stat st{};  // as its name is gone, nobody can set its time any more
  if (!times || !pack || ::fstat(pack->get(), &st) != 0) return std::nullopt;
  times->now = st.st_mtim;
  return times->is_relied_on() ? std::optional(times->now) : std::nullopt;
}

}  // namespace remora::git

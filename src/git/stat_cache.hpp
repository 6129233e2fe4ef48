// What a snapshot remembers of a worktree: directories, immutable once made, so that an unchanged
// or unreadable one is shared with the next snapshot. About 90 bytes and the name a file.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <remora/git/repository.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

inline std::int64_t nanoseconds(const timespec& t) {
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

/// What must be equal for a file's bytes to be taken as equal. Zero inode: nothing is known.
struct stamp {
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const stamp&) const = default;
};

inline stamp stamp_of(const struct stat& st) {
  return {st.st_ino, st.st_size, nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
}

struct directory;
using directory_ptr = std::shared_ptr<const directory>;

struct record {
  static constexpr std::uint32_t no_child = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t name_offset = 0;
  std::uint32_t name_size = 0;
  git::stamp stamp;
  oid id;  ///< of a directory: its tree, zero if there is nothing in it that git could hold
  git::mode mode{};
  std::uint32_t child = no_child;  ///< in `directory::children`; none: a tree of the base, unread
  std::uint32_t written = 0;       ///< the scan that named the id; 0: it is the base's
  bool in_base = false;            ///< tracked from the start: kept when the path goes
  bool gone = false;               ///< not there now
  bool racy = false;  ///< changed in the moment it was read: the stamp may hide a later change
  bool from_index = false;  ///< the stamp is an index entry's: its fields have 32 bits
  bool converted = false;   ///< the id is the base's normalised object
  bool kept = false;        ///< the entry is older than the disk, which could not be read
};

struct directory {
  std::string names;
  std::vector<record> records;  ///< sorted by name, as bytes
  std::vector<directory_ptr> children;
  oid tree;  ///< zero: nothing in it
  std::uint32_t written = 0;
  bool any_kept = false;  ///< here or below
  bool restless = false;  ///< here or below is what each scan must look at: kept, or a submodule
  bool unread = false;    ///< nothing but `tree` is known: a directory of the base

  std::string_view name(const record& r) const noexcept {
    return {names.data() + r.name_offset, r.name_size};
  }
  /// A directory's own records, if they were read; also of a file that took the place of one.
  const directory* child(const record& r) const noexcept {
    return r.child == record::no_child ? nullptr : children[r.child].get();
  }
  const record* find(std::string_view wanted) const noexcept;
  /// Adds a record under `wanted`, and its directory. The order is restored by `sort`.
  record& add(std::string_view wanted, record r, directory_ptr below);
  void sort();
};

/// The record at `path` below `root`, or nothing; only through directories that are there.
const record* find_record(const directory& root, std::string_view path) noexcept;

}  // namespace remora::git

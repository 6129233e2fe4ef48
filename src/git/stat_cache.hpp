// What a snapshot remembers of a worktree: directories, immutable once made, so that an unchanged
// or unreadable one is shared with the next snapshot. A file takes 40 bytes, and its name and id
// another 32 and the name itself: once for all worktrees that share `shared_trees`.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
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

inline bool is_linked(const struct stat& st) {
  return S_ISREG(st.st_mode) && st.st_nlink > 1;
}

class directory;
class shared_trees;
using directory_ptr = std::shared_ptr<const directory>;

struct record {
  static constexpr std::uint32_t no_child = std::numeric_limits<std::uint32_t>::max();

  std::string_view name;  ///< lives as long as the directory that it was read from
  git::stamp stamp;
  oid id;  ///< of a directory: its tree, zero if there is nothing in it that git could hold
  git::mode mode{};
  std::uint32_t child = no_child;  ///< of `directory`; none: a tree of the base, unread
  std::uint32_t written = 0;       ///< the scan that named the id; 0: it is the base's
  bool in_base = false;            ///< tracked from the start: kept when the path goes
  bool gone = false;               ///< not there now
  bool racy = false;  ///< changed in the moment it was read: the stamp may hide a later change
  bool from_index = false;  ///< the stamp is an index entry's: its fields have 32 bits
  bool converted = false;   ///< the id is the base's normalised object
  bool kept = false;        ///< the entry is older than the disk, which could not be read
  bool linked = false;      ///< the file has other names: no event tells of a change under those

  /// A tree has it.
  bool is_held() const noexcept { return !gone && !id.is_zero(); }
};

/// The part of a directory's records that its tree says, if that says all.
struct listing {
  struct item {
    std::uint32_t name_offset = 0, name_size = 0;
    git::mode mode{};
    oid id;
  };
  std::string names;
  std::vector<item> items;
};

class directory {
 public:
  oid tree;  ///< zero: nothing in it
  std::uint32_t written = 0;
  bool any_kept = false;  ///< here or below
  bool restless = false;  ///< here or below is what each scan must look at
  bool unread = false;    ///< nothing but `tree` is known: a directory of the base

  std::size_t size() const noexcept { return states_.size(); }
  record at(std::size_t i) const noexcept;
  std::string_view name(std::size_t i) const noexcept;
  /// Sorted by name, as bytes.
  auto records() const {
    return std::views::iota(std::size_t{0}, size()) |
           std::views::transform([this](std::size_t i) { return at(i); });
  }
  std::optional<record> find(std::string_view wanted) const noexcept;
  /// A directory's own records, if they were read; also of a file that took the place of one.
  const directory* child(const record& r) const noexcept {
    return r.child == record::no_child ? nullptr : children_[r.child].get();
  }
  directory_ptr share_child(const record& r) const noexcept {
    return r.child == record::no_child ? nullptr : children_[r.child];
  }

  void reserve(std::size_t records);
  /// Adds a record under `name`, and its directory. The order is restored by `sort`.
  void add(std::string_view name, const record& r, directory_ptr below);
  void sort();
  /// After the last `add`, and with `tree` set: gives back what is too much, and takes what others
  /// have of the same tree. `others` may be null.
  void settle(shared_trees* others);

 private:
  struct state {
    git::stamp stamp;
    std::uint32_t child;
    std::uint32_t written : 25, in_base : 1, gone : 1, racy : 1, from_index : 1, converted : 1,
        kept : 1, linked : 1;
  };

  std::shared_ptr<listing> listing_ = std::make_shared<listing>();  ///< ours alone until settled
  std::vector<state> states_;
  std::vector<directory_ptr> children_;
};

/// The record at `path` below `root`, or nothing; only through directories that are there.
std::optional<record> find_record(const directory& root, std::string_view path) noexcept;

}  // namespace remora::git

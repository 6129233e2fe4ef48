// What a snapshot's tree cannot say: the manifest, and the agent's staged state. Plain values;
// their JSON is written and read here, the format is docs/checkpoint-format.md.
#pragma once

#include <boost/json/object.hpp>
#include <remora/git/repository.hpp>

namespace remora::git {

/// A path that was there and is not in the tree, and why. A restore never deletes it.
struct omission {
  std::string path;
  std::string reason;  ///< `fifo`, `socket`, `device`, `unreadable`, `too large`, `path too long`,
                       ///< `name refused by git`, `nested repository: …`, `submodule: …`,
                       ///< `changed while read`, …
  auto operator<=>(const omission&) const = default;
};

/// The reason of what is a file or a directory, and could not be read: it is nowhere else.
inline constexpr std::string_view unreadable = "unreadable";
/// The paths that were left out for that.
std::vector<std::string> unreadable_paths(const std::vector<omission>& left_out);

/// The git directory of a repository within the worktree, whose other files are files of the tree.
struct nested_repository {
  std::string path;                            ///< of the directory that `.git` is in
  git::mode mode{};                            ///< directory; file: it says where the real one is
  oid id;                                      ///< the tree of its files, or that file
  std::vector<std::string> empty_directories;  ///< below `.git`
  auto operator<=>(const nested_repository&) const = default;
};

/// A submodule that holds more than nothing: the snapshot's tree has its commit, and so cannot have
/// its files. Its git directory is one of `nested`.
struct submodule_files {
  std::string path;
  oid files;  ///< the tree of them
  auto operator<=>(const submodule_files&) const = default;
};

struct manifest {
  std::vector<omission> left_out;
  std::vector<nested_repository> nested;
  std::vector<submodule_files> submodules;
  std::vector<std::string> empty_directories;
  /// Paths whose tree entry is the base's normalised object, because they did not change since
  /// checkout; a restore writes them as a checkout does. Everything else is raw bytes.
  std::vector<std::string> converted;
  bool head_torn = false;  ///< HEAD or the index moved during each of three tries
};

boost::json::object to_json(const manifest& m);
result<manifest> manifest_from_json(const boost::json::object& o);

/// Where HEAD was.
struct head_state {
  oid commit;       ///< zero: unborn
  std::string ref;  ///< `refs/heads/…`; empty: detached
  auto operator<=>(const head_state&) const = default;
};

/// One index entry that differs from HEAD's tree.
struct index_entry {
  std::string path;
  int stage = 0;  ///< 0, or 1 to 3 in a conflict
  git::mode mode{};
  oid id;
  bool intent_to_add = false;
  bool skip_worktree = false;
  bool assume_unchanged = false;

  /// False for a submodule's commit, for a directory (it is HEAD's) and for `git add -N`, which
  /// names an empty blob that git may never have written.
  bool has_blob() const noexcept {
    return mode != git::mode::commit && mode != git::mode::directory && !intent_to_add;
  }
  /// To be staged again. What is not checked out a partial clone need not have (G22).
  bool needs_object() const noexcept {
    return mode != git::mode::commit && !intent_to_add && !skip_worktree;
  }
  auto operator<=>(const index_entry&) const = default;
};

/// The index as a difference to HEAD's tree: entries that differ, and paths of HEAD that it lacks.
struct index_state {
  bool known = false;  ///< false: the index could not be read (why is in `note`); a restore leaves
                       ///< the index at HEAD
  std::string note;
  std::vector<index_entry> entries;
  std::vector<std::string> removed;
};

boost::json::object to_json(const index_state& s);
/// `ids`: the blobs come from the mind's `index/<stage>/<path>` tree; the JSON repeats their ids.
result<index_state> index_from_json(const boost::json::object& o);

}  // namespace remora::git

// One open git repository: objects and refs, through libgit2, opened by a trusted path.
//
// Thread: a `repository` belongs to one thread at a time; other threads `reopen()`. All calls
// block. Refs are changed by compare-and-swap and are durable on return
// (GIT_OPT_ENABLE_FSYNC_GITDIR; measured: without it, or with it set after the first open, libgit2
// loses refs in a power cut). No hook, filter, signing program or credential helper ever runs here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <remora/git/oid.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct git_repository;
struct git_odb;

namespace remora::git {

/// Must run before any thread or repository uses libgit2. Idempotent. Thread: main.
void initialise();

enum class mode : std::uint32_t {
  directory = 0040000,
  file = 0100644,
  executable = 0100755,
  symlink = 0120000,
  commit = 0160000,
};

struct tree_entry {
  std::string name;
  oid id;
  git::mode mode{};
};

struct signature {
  std::string name;
  std::string email;
  std::int64_t seconds = 0;  ///< since the epoch
  int offset_minutes = 0;
};

/// `remora <remora@localhost>` at `seconds`, UTC.
signature remora_signature(std::int64_t seconds);

struct commit_info {
  oid tree;
  std::vector<oid> parents;
  signature author;
  std::string message;
};

struct ref_info {
  std::string name;
  oid target;
};

/// Unlinks the `.lock` of a ref, or of its log, that stays as it is for a second: no git needs one
/// so long. False: it went, or is another one. Waits at most two seconds. Errors: errno of the
/// unlinking.
result<bool> remove_left_lock(const std::filesystem::path& lock);

struct repository_impl;

class repository {
 public:
  /// `path`: anything inside the user's checkout, or a git directory; found as git does.
  /// Errors: errc::repository, with what to do (no repository, unknown extension, foreign owner).
  static result<repository> discover(const std::filesystem::path& path);
  /// The same repository for another thread, by its git directory: nothing is searched for.
  result<repository> reopen() const;
  /// The same as if it had no checkout: nothing there says anything of a file.
  result<repository> reopen_bare() const;

  repository(repository&&) noexcept;
  repository& operator=(repository&&) noexcept;
  ~repository();

  const std::filesystem::path& common_dir() const noexcept;  ///< shared by all worktrees
  const std::filesystem::path& git_dir() const noexcept;     ///< of the checkout that was named
  /// The checkout that was named; nothing for a bare repository.
  const std::optional<std::filesystem::path>& work_dir() const noexcept;
  /// A name for people and directories: the checkout's or bare directory's name without `.git`.
  std::string name() const;

  // --- names ---
  /// Peels to a commit. Errors: errc::usage (unknown, unborn HEAD; the text says which).
  result<oid> resolve_commit(std::string_view spec) const;
  /// The branch HEAD points at (`refs/heads/…`), or nothing when detached.
  std::optional<std::string> head_ref() const;
  /// Of `user.name` and `user.email`, now; remora's own where they are not set.
  signature user_signature() const;
  /// Paths of the checkout that differ from HEAD (tracked files, and untracked ones that are not
  /// ignored; a new directory counts as one), at most `limit`.
  result<std::vector<std::string>> dirty_paths(std::size_t limit) const;

  // --- objects ---
  bool exists(const oid& id) const;
  result<std::string> read_blob(const oid& id) const;
  result<std::vector<tree_entry>> read_tree(const oid& id) const;
  result<commit_info> read_commit(const oid& id) const;
  /// The entry at `path` below `tree`, or nothing.
  result<std::optional<tree_entry>> find(const oid& tree, std::string_view path) const;
  /// Content of the blob at `path` below `tree`, or nothing.
  result<std::optional<std::string>> read_path(const oid& tree, std::string_view path) const;
  result<bool> is_ancestor(const oid& ancestor, const oid& descendant) const;
  /// Commits reachable from `tip`, not from `base`, newest first; at most `limit`.
  result<std::vector<oid>> commits_between(const oid& base, const oid& tip,
                                           std::size_t limit) const;

  // --- refs ---
  /// Nothing where the ref does not exist. Errors: errc::corrupt (zero bytes, not an id).
  result<std::optional<oid>> read_ref(const std::string& name) const;
  /// All below `prefix` (`refs/remora/runs/`), sorted by name.
  result<std::vector<ref_info>> list_refs(const std::string& prefix) const;
  /// Sets `name` to `to` if it is `from` (zero: does not exist). Durable on return. A locked ref is
  /// retried for at most a second. Errors: errc::ref_moved, errc::repository (a name clash), errno.
  result<void> swap_ref(const std::string& name, const oid& from, const oid& to);
  /// For a ref that only repeats what others say: `name` is `to`, whatever it held. Not synced (by
  /// libgit2 a branch costs four) and no reflog; after a power cut it may be what it was, or
  /// unreadable. Errors: errc::repository (a name clash, a lock), errno.
  result<void> set_derived_ref(const std::string& name, const oid& to);
  /// As `read_ref`, but a corrupt one is deleted, and so is none: a git that need not sync leaves
  /// such in a power cut, and nothing else can change them. `deleted`: whether it was; an older
  /// value may have come to light.
  result<std::optional<oid>> read_or_delete_ref(const std::string& name, bool* deleted = nullptr);
  /// Deletes `name` if it is `from`. Absent already: success. Errors: as `swap_ref`.
  result<void> delete_ref(const std::string& name, const oid& from);
  /// From now on every try to change a ref asks first; its error is then that of the change.
  void guard_refs(std::function<result<void>()> allowed);

  /// From now on no other programs than these, which a configuration names, are started by what
  /// this makes (programs.hpp). `reopen` gives one that trusts the configuration as it is.
  void trust_only(std::map<std::string, std::string> programs);
  /// Nothing: the configuration as it is.
  const std::optional<std::map<std::string, std::string>>& trusted() const noexcept;

  git_repository* raw() const noexcept;  ///< for this room only
  git_odb* odb() const noexcept;         ///< for this room only
  repository_impl& inside() noexcept;    ///< for this room only

 private:
  struct impl;
  explicit repository(std::unique_ptr<impl>);
  std::unique_ptr<impl> impl_;
};

}  // namespace remora::git

// Where a run keeps what is not in git objects: below the repository's common directory, readable
// by its owner only (directories 0700, files 0600), and slots outside of every repository.
#pragma once

#include <filesystem>
#include <remora/core/ids.hpp>
#include <remora/core/posix.hpp>
#include <remora/git/repository.hpp>
#include <vector>

namespace remora::run {

struct run_layout {
  std::filesystem::path root;  ///< `<git common dir>/remora/runs/<run>`

  run_layout(const std::filesystem::path& common_dir, const run_id& run);
  std::filesystem::path journal() const { return root / "journal.jsonl"; }
  std::filesystem::path lock() const { return root / "lock"; }
  /// `git::program_settings`, as they were when the run began.
  std::filesystem::path programs() const { return root / "programs"; }
  /// `name`: `<task>.<attempt>`, `<task>.setup`, `<task>.verify.<attempt>`.
  std::filesystem::path attempt(const std::string& name) const { return root / "attempts" / name; }
  std::filesystem::path notes(const task_id& task) const {
    return root / "files" / task.str() / "notes.md";
  }
  std::filesystem::path result(const task_id& task) const {
    return root / "files" / task.str() / "result";
  }
  std::filesystem::path temporary(const task_id& task) const {
    return root / "files" / task.str() / "tmp";
  }
};

/// The runs that have a directory here, oldest first. `failed`: why some may be missing.
std::vector<run_id> local_runs(const git::repository& repo, std::error_code* failed = nullptr);

/// Whether both name one place, through symbolic links too; an empty path names none.
bool same_place(const std::filesystem::path& a, const std::filesystem::path& b);

/// `$XDG_STATE_HOME/remora`, else `~/.local/state/remora`; empty: neither is known.
std::filesystem::path state_directory();

/// `$XDG_STATE_HOME/remora/<repository>/slots`, or `dir` if the plan names one.
/// Errors: errc::environment (no HOME), errc::usage (inside the repository).
result<std::filesystem::path> slots_path(const git::repository& repo, const std::string& dir);
/// The same, and it is there afterwards. Errors: also errno.
result<std::filesystem::path> slots_root(const git::repository& repo, const std::string& dir);

/// Keeps `sweep_slots` out while a slot is reserved and not yet filled. Errors: errno.
result<unique_fd> hold_slots(const std::filesystem::path& root);
/// Removes the empty directories that were reserved by processes which died at that moment; none
/// while somebody holds the slots.
void sweep_slots(const std::filesystem::path& root);

/// Reserves the lowest free `<root>/<n>` by making it. Errors: errno.
result<std::filesystem::path> reserve_slot(const std::filesystem::path& root);

}  // namespace remora::run

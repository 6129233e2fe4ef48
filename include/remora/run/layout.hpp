// Where a run keeps what is not in git objects: below the repository's common directory, readable
// by its owner only (directories 0700, files 0600), and slots outside of every repository.
#pragma once

#include <filesystem>
#include <remora/core/ids.hpp>
#include <remora/core/posix.hpp>
#include <remora/git/repository.hpp>

namespace remora::run {

struct run_layout {
  std::filesystem::path root;  ///< `<git common dir>/remora/runs/<run>`

  run_layout(const std::filesystem::path& common_dir, const run_id& run);
  std::filesystem::path journal() const { return root / "journal.jsonl"; }
  std::filesystem::path lock() const { return root / "lock"; }
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

/// Held for a run's life; a second orchestrator cannot take it. Released by the kernel when we die.
class run_lock {
 public:
  /// Errors: errc::held, naming the holder (pid, since when, which command ends it).
  static result<run_lock> take(const run_layout& layout);
  /// True while the file that we hold is still the one at its path.
  bool still_ours() const;
  /// The same as a result. Thread: any. Errors: errc::held, saying that nothing was touched.
  result<void> check() const;

 private:
  run_lock(unique_fd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  unique_fd fd_;
  std::filesystem::path path_;
};

/// True if some process holds the run's lock.
bool is_live(const run_layout& layout);

/// `$XDG_STATE_HOME/remora/<repository>/slots`, or `dir` if the plan names one.
/// Errors: errc::environment (no HOME), errc::usage (inside the repository).
result<std::filesystem::path> slots_root(const git::repository& repo, const std::string& dir);

/// Removes what runs of this repository left in `runs/` that neither go on nor ended here: a run
/// killed before its first record was durable, or while its directory was being removed. Returns
/// the names of what it removed; best effort.
std::vector<std::string> sweep_runs(const git::repository& repo);

/// Removes the `.lock` files of git refs that a dead orchestrator of this run left (G1). Only while
/// its lock is held, and nothing of ours runs. Returns what it removed.
result<std::vector<std::string>> remove_ref_locks(const std::filesystem::path& common_dir,
                                                  const run_id& run);

/// Keeps `sweep_slots` out while a slot is reserved and not yet filled. Errors: errno.
result<unique_fd> hold_slots(const std::filesystem::path& root);
/// Removes the empty directories that were reserved by processes which died at that moment; none
/// while somebody holds the slots.
void sweep_slots(const std::filesystem::path& root);

/// Reserves the lowest free `<root>/<n>` by making it. Errors: errno.
result<std::filesystem::path> reserve_slot(const std::filesystem::path& root);

}  // namespace remora::run

// What dead processes of ours left behind, found without touching anything. What is nobody's for
// certain is removed by run, resume, rerun and prune at their start; `doctor` tells of all.
// Cheap: names of refs, directories and locks are read, and of few runs the record.
// Blocks; thread: that of the repository.
#pragma once

#include <functional>
#include <memory>
#include <remora/run/run_lock.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// The run that a ref, or the lock of one, belongs to: the first part that is a run's id.
std::optional<run_id> run_named_in(const std::filesystem::path& ref);

/// What is known of a run without reading all of it.
enum class run_trace {
  unknown,  ///< neither record nor journal: it never began, or was dropped
  open,     ///< its journal is here, perhaps damaged or of another version
  lost,     ///< its record says that it goes on, and it has no journal here
  over,     ///< its record says that it has ended
};
run_trace trace_of(const git::repository& repo, const run_id& run);

struct leftover {
  std::string kind;  ///< `run-directory`, `ref-lock`, `worktree`, `worktree-entry`, `object-files`,
                     ///< `branch`
  std::string subject;  ///< a run, a ref, a path
  std::string text;     ///< what it is, and why nobody needs it
  /// False: it is somebody's by now, and stays. Looks again, under the run's lock.
  std::function<result<bool>(git::repository&)> remove;
};
enum class thoroughness { certain, all };
std::vector<leftover> find_leftovers(const git::repository& repo, thoroughness how);

/// Removes what is certain; best effort: what cannot go is `doctor`'s to tell. Returns the texts of
/// what went.
std::vector<std::string> sweep_leftovers(git::repository& repo);

/// Removes the `.lock` files of git refs that a dead owner of this run left (G1): those that are
/// older than `ours`; of the tasks' own branches, which are the agents' as well, only where no
/// agent of the run lives for certain. Returns what it removed.
result<std::vector<std::string>> remove_ref_locks(const std::filesystem::path& common_dir,
                                                  const run_id& run, const run_lock& ours);

/// A run that is held while something of it is deleted: nobody resumes it meanwhile, and no lock of
/// a dead owner is in the way.
class held_run {
 public:
  /// Errors: errc::held, errno.
  static result<held_run> take(const git::repository& repo, const run_id& run);
  held_run(held_run&&) = default;
  held_run& operator=(held_run&&) = delete;
  /// A directory that is there for the lock alone goes.
  ~held_run();
  const run_lock& lock() const { return *lock_; }

 private:
  held_run(run_layout layout, run_lock lock)
      : layout_(std::move(layout)), lock_(std::make_unique<run_lock>(std::move(lock))) {}

  run_layout layout_;
  std::unique_ptr<run_lock> lock_;  ///< empty: moved from
};

}  // namespace remora::run

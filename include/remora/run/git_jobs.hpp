// What a run asks of git, as blocking functions of values: they run on a git worker's thread,
// awaited by the loop. No libgit2 handle crosses threads: each worker opens the repository once,
// before any agent starts.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <remora/checkpoint/store.hpp>
#include <remora/git/diff.hpp>
#include <remora/git/result_tree.hpp>
#include <remora/run/plan.hpp>
#include <remora/run/run_lock.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// One git thread with its own repository. Everything but `pool` is touched by that thread only.
struct git_worker {
  /// `held`: the run's lock, looked at before every change of a ref; nothing: nobody may contest
  /// it.
  explicit git_worker(git::repository opened, const run_lock* held = nullptr)
      : repo(std::move(opened)), objects(repo), lock(held) {
    if (held) repo.guard_refs([held] { return held->check(); });
  }
  /// Errors: errc::held, once the run is another orchestrator's.
  result<void> check_lock() const { return lock ? lock->check() : result<void>(); }

  git::repository repo;
  git::object_writer objects;
  const run_lock* lock;
  unique_fd base_held;  ///< `git::hold_objects`, while no ref names a checkout's commit yet
  boost::asio::thread_pool pool{1};  ///< joined before what its jobs use is gone
};

/// A task's worktree and what is remembered of it between snapshots. Touched by its worker's thread
/// only, but for `tree`, which does not change.
struct workspace {
  git::worktree tree;
  std::optional<git::snapshotter> snapshots;
  std::optional<git::snapshot> last;  ///< of the newest checkpoint
  bool unpublished = false;  ///< what the last snapshot found and wrote came to be named by no ref
  std::int64_t removal = 0;  ///< `git::last_removal` then
  git::oid base;             ///< with which `snapshots` was opened
  git::snapshot_rules rules;
};

struct slot_request {
  std::filesystem::path slots_root;
  std::filesystem::path reuse;  ///< an existing slot to go on in, in place; empty: a new one
  /// A slot that the journal knows and that is not used again: quarantined, or not what it was. It
  /// keeps its files and gives up the branch.
  std::filesystem::path abandoned;
  std::filesystem::path discard;  ///< a slot in which no agent ever started: removed
  /// Set aside by a task that is over. Null: git makes a new one, as where this one does not serve.
  std::shared_ptr<workspace> used;
  std::string branch;  ///< `refs/heads/remora/<run>/<task>`
  git::oid base;
  std::optional<git::oid> record;  ///< the checkpoint to go on from: a new slot gets its files back
  bool same_run = false;  ///< `record` is of this run: what it holds need not be saved again
  std::vector<std::string> copy;
  std::filesystem::path copy_from;  ///< the user's checkout; empty: none
  std::string aside;                ///< `refs/remora/foreign/<run>/<task>/`
  git::snapshot_rules rules;
};

struct slot_made {
  std::shared_ptr<run::workspace> workspace;
  bool in_place = false;
  std::string head_note;  ///< where HEAD was left when not on the branch; for the continuation
  std::vector<std::string> remarks;  ///< warnings: paths not copied, not restored
};

/// A new slot takes the task's branch from wherever a crash or a quarantine left it; commits that
/// only that branch held are kept at `refs/remora/foreign/…` and remarked. Nothing is left behind
/// where it fails. Errors: of the worktree (errc::repository, errc::vanished), errno.
result<slot_made> make_slot(git_worker* worker, slot_request request, std::stop_token stop);

struct save_request {
  explicit save_request(checkpoint::request r) : record(std::move(r)) {}
  checkpoint::request record;  ///< without files and transcript
  std::filesystem::path attempt_dir;
  std::uint64_t out_from = 0, out_to = 0, err_from = 0,
                err_to = 0;  ///< the new bytes of `out` and `err`
  std::string times;
  std::string last_state;   ///< of the previous checkpoint; equal, and files equal: nothing to save
  std::string branch;       ///< the task's own, `refs/heads/…`
  bool final = false;       ///< nothing runs: stale locks are removed first
  bool keep_branch = true;  ///< `remora-wip/…` beside the record ref
};

struct save_taken {
  unique_fd held;  ///< `git::hold_objects`: until it is published, or given up
  std::optional<checkpoint::prepared> prepared;  ///< nothing: neither files nor state changed
  std::optional<git::snapshot> files;            ///< with `prepared`; `last` once that is published
  bool files_differ = false;
  bool head_moved = false;
  std::uint64_t files_scanned = 0, files_changed = 0;
  std::vector<git::omission> left_out;
  std::vector<std::string> removed_locks;
};

/// Snapshot and both commits, durable; nothing is visible yet.
result<save_taken> take_checkpoint(git_worker* worker, std::shared_ptr<workspace> where,
                                   save_request request, std::stop_token stop);
/// Moves the record ref; from then on `files` is what the next checkpoint is held against. Gives
/// what is worth a warning (a foreign value that was kept aside), or nothing.
result<std::string> publish_checkpoint(git_worker* worker, std::shared_ptr<workspace> where,
                                       checkpoint::prepared prepared, git::snapshot files,
                                       bool keep_branch);

/// `git::consolidate_packs`, on a repository of its own. Thread: any.
result<bool> merge_packs(const git::repository* repo, std::stop_token stop);
/// `git::remove_unreachable`, on a repository of its own. Thread: any.
result<std::optional<std::uint64_t>> remove_unreachable(const git::repository* repo,
                                                        std::stop_token stop);

/// The files commit of the checkpoint whose record is `record`.
result<git::oid> read_files_commit(git_worker* worker, git::oid record);

/// How much of an attempt's transcript the checkpoint holds already.
struct transcript_sizes {
  std::uint64_t out = 0, err = 0;
};
result<transcript_sizes> saved_transcript(git_worker* worker, git::oid record, attempt_no attempt);

struct task_changes {
  git::diff_summary summary;
  git::diff_text patch;
};
/// The newest checkpoint's files against the base.
result<task_changes> changes_since(git_worker* worker, git::oid base, git::oid files,
                                   std::size_t patch_limit);

struct result_request {
  run_id run;
  task_id task;
  std::string title;
  git::oid record;  ///< the final checkpoint
  git::oid base;
  std::string branch;
  std::string aside;  ///< `refs/remora/foreign/<run>/<task>/`
  git::result_rules rules;
  git::oid published;  ///< by a predecessor of ours: made no second time; zero: nothing yet
  bool published_whole = true;  ///< what was told of it
};

struct result_made {
  git::oid commit;          ///< what the branch holds
  bool head_moved = false;  ///< the agent's HEAD does not descend from the base
  bool whole = true;        ///< the result holds everything that the checkpoint holds
  std::vector<git::omission> left_out;
  std::uint64_t commits = 0;  ///< between base and result
  git::diff_summary changes;
  std::string remark;  ///< worth a warning
};

/// The result, from the checkpoint: HEAD's commit, then one commit with what was left uncommitted;
/// the task's branch moved by compare-and-swap, durable. Made again (after a crash) it is the same
/// commit.
result<result_made> publish_result(git_worker* worker, result_request request);

/// Deletes the checkpoint's record ref and branch, if they are still `record`. One of another run
/// than `ours` (of a rerun) only while nobody works on that.
result<void> remove_checkpoint(git_worker* worker, run_id ours, git::oid record);
/// The user's branches, by name: all but remora's.
result<std::vector<std::string>> user_branches(git_worker* worker);
/// The slot of the task with this branch: for another one to have. Errors: errc::vanished.
result<void> set_slot_aside(git_worker* worker, std::shared_ptr<workspace> where,
                            std::string branch);
/// Whatever was set aside and is still nobody's.
result<void> remove_free_slot(git_worker* worker, std::filesystem::path root);
/// The slot of the task with this branch: directory and git's bookkeeping.
result<void> remove_slot(git_worker* worker, std::filesystem::path root, std::string branch);

}  // namespace remora::run

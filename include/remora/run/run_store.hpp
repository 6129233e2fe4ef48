// The seam between a run and what it keeps: all that the engine asks of git and of the disk. The
// machine's is `git_store`; a simulation keeps everything in memory.
// Thread: the loop's, all of it. Errors: those of the function of the same name in git_jobs.hpp,
// layout.hpp and run_record.hpp. Cancellation: what is awaited here is not given up until it has
// been done; a `stop_token` ends it early, with nothing published.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <remora/process/host.hpp>
#include <remora/run/git_jobs.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/preview.hpp>
#include <remora/run/task_start.hpp>
#include <stop_token>

namespace remora::run {

/// A worktree, lent to a task.
struct slot_lent {
  std::filesystem::path root;
  bool in_place = false;
  std::string head_note;  ///< where HEAD was left when not on the branch; for the continuation
  std::vector<std::string> remarks;  ///< warnings: paths not copied, not restored
};

/// What an attempt's directory holds; empty: not there.
struct attempt_files {
  std::string state, prompt, out, err;
  std::string told;  ///< lines of `add_told`
};

/// One task's work. Its calls are made one after another, but for `remove_unreachable`; those of
/// other tasks, beside them.
class task_store {
 public:
  template <class T>
  using awaited = boost::asio::awaitable<result<T>>;

  virtual ~task_store() = default;

  /// After a crash: brings the task's refs in line with the journal's fold, then says what its
  /// newest checkpoint holds. Idempotent.
  virtual awaited<recovered_task> recover(task_fold fold) = 0;
  /// A task of a rerun: from the record of another run.
  virtual awaited<task_start> start_from(git::oid record) = 0;

  /// `slots_root`, `copy` and `copy_from` of the request are the store's to know.
  virtual awaited<slot_lent> make_slot(slot_request request, std::stop_token stop) = 0;
  /// Removes it; or keeps it for one of the `waiting` tasks, where fewer than that are kept already
  /// and it is the slot that was lent last, as git made it. Its work is elsewhere.
  virtual awaited<void> free_slot(std::filesystem::path root, std::size_t waiting) = 0;
  virtual result<bool> slot_exists(const std::filesystem::path& root) const = 0;

  // Checkpoints of the slot that was lent last.
  virtual awaited<save_taken> take_checkpoint(save_request request, std::stop_token stop) = 0;
  virtual awaited<std::string> publish_checkpoint(checkpoint::prepared prepared,
                                                  git::snapshot files, bool keep_branch) = 0;
  /// Once a checkpoint is announced. Returns at once where another task's are being merged; what
  /// cannot be merged now can be later.
  virtual boost::asio::awaitable<void> merge_packs(std::stop_token stop) = 0;
  /// What a new chain has given up, of any task. Bytes that are free again; nothing: not now.
  virtual awaited<std::optional<std::uint64_t>> remove_unreachable(std::stop_token stop) = 0;
  virtual awaited<void> remove_checkpoint(git::oid record) = 0;
  virtual awaited<git::oid> files_commit(git::oid record) = 0;
  virtual awaited<transcript_sizes> saved_transcript(git::oid record, attempt_no attempt) = 0;
  virtual awaited<task_changes> changes_since(git::oid base, git::oid files,
                                              std::size_t patch_limit) = 0;
  virtual awaited<result_made> publish_result(result_request request) = 0;
  virtual awaited<std::vector<std::string>> user_branches() = 0;

  // An attempt's files, by the attempt's name (`run_layout::attempt`).
  /// Durable on return: the fold of `out` starts from them if we die before the next checkpoint.
  virtual awaited<void> begin_attempt(std::string name, std::string state, std::string prompt) = 0;
  virtual awaited<attempt_files> read_attempt(std::string name) = 0;
  /// Errors: errc::corrupt (nobody lives there, and `exit` says nothing); any other: whether
  /// somebody lives there is not known.
  virtual result<process::attempt_remains> inspect_attempt(const std::string& name) = 0;
  /// What the agent left in $REMORA_NOTES and $REMORA_RESULT: regular files only, their last
  /// bytes.
  virtual std::string notes(std::size_t limit) = 0;
  virtual std::string result_text(std::size_t limit) = 0;
  /// Appends to $REMORA_NOTES, as one piece. Errors: errno; errc::environment (the agent has made
  /// something else of it).
  virtual result<void> add_note(const std::string& text) = 0;
  /// Keeps a line of what the agent tells beside its output, for as long as `out` is kept.
  virtual result<void> add_told(const std::string& attempt, const std::string& line) = 0;
};

/// What the user's checkout holds, as a commit.
struct checkout_base {
  git::oid commit;
  std::vector<git::omission> left_out;  ///< paths of it that the commit has not, and why
};

class run_store {
 public:
  template <class T>
  using awaited = boost::asio::awaitable<result<T>>;

  virtual ~run_store() = default;

  // Before a run is ours. These block for a moment: no agent runs yet.
  virtual result<run_preview> preview(const plan& p) = 0;
  virtual run_layout layout(const run_id& run) const = 0;
  /// The first record; the rest may be being written by somebody else still.
  virtual result<std::optional<record>> read_journal_head(const run_id& run) = 0;
  /// Removes what runs that neither go on nor ended here left behind.
  virtual void sweep() = 0;
  /// What bases reach counts as durable afterwards.
  virtual result<void> sync_objects() = 0;
  /// Takes the run's lock and makes its directories. Errors: errc::held, and those of slots.
  virtual result<void> open(const run_id& run, const plan& p) = 0;

  // From here on the run is ours.
  /// Whether it still is. Thread: any. Errors: errc::held.
  virtual result<void> check() const = 0;
  /// The stale locks of the run's refs, which nobody can hold; by name.
  virtual result<std::vector<std::string>> remove_ref_locks() = 0;
  virtual result<journal_contents> read_journal() = 0;
  /// The journal from `valid_bytes` on: the rest is cut off.
  virtual result<std::unique_ptr<journal_file>> open_journal(std::uint64_t valid_bytes) = 0;
  virtual result<std::unique_ptr<task_store>> open_task(const task_plan& task) = 0;
  /// Those that were kept, and that nobody got. Best effort, as below.
  virtual awaited<void> remove_free_slots() = 0;
  /// Best effort: what stays is swept when the next run begins.
  virtual void remove_run() = 0;

  /// The checkout as it is (changed, staged and untracked files) as a commit on its HEAD, durable;
  /// HEAD itself where they are the same. Nothing of the checkout is touched, its index neither.
  /// `seconds`: the commit's time. Errors: errc::repository (there is no checkout), as a
  /// snapshot's.
  virtual awaited<checkout_base> commit_checkout(std::int64_t seconds) = 0;

  // The run's record.
  /// `continues`: the run whose record becomes a parent too.
  virtual awaited<void> record_start(boost::json::object run, std::vector<git::oid> parents,
                                     std::optional<run_id> continues) = 0;
  virtual awaited<void> record_open() = 0;
  virtual awaited<void> record_task(task_id task, boost::json::object payload,
                                    std::optional<git::oid> record,
                                    std::optional<git::oid> result) = 0;
  /// A task that ended without a runner, or before its end was recorded; nothing if it is there.
  virtual awaited<void> record_missing_task(task_id task, boost::json::object payload,
                                            std::optional<git::oid> record) = 0;
  /// With the journal as it is.
  virtual awaited<void> record_end(boost::json::object ended) = 0;
};

/// On `repo`, with git workers of its own: as many as tasks run at once, at least two and at most
/// eight, each opened when a task needs it. A task gets the one that has the fewest tasks.
std::unique_ptr<run_store> make_git_store(git::repository& repo);

}  // namespace remora::run

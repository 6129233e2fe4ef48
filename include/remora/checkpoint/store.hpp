// The store of checkpoints: prepares one (objects durable), publishes it (one compare-and-swap),
// reads and removes them. Decides nothing. Between `prepare` and `publish` the caller makes
// `checkpoint_prepared` durable in its journal: that is what recovery stands on.
// Thread: that of its repository; blocks.
#pragma once

#include <remora/checkpoint/record.hpp>
#include <remora/git/restore.hpp>
#include <remora/git/snapshot.hpp>

namespace remora::checkpoint {

/// Raw bytes that one attempt's agent wrote since the previous checkpoint. Pieces are only ever
/// added: rewriting a growing piece stored 60 times as much when it was measured.
struct transcript_piece {
  attempt_no attempt{};
  std::string out{};
  std::string err{};
  std::string times{};  ///< `<ms since the attempt's start> <bytes of out so far>` a line
};

/// Everything beside the files. Serialised state and prompt come from the rooms that know them.
struct mind {
  std::string state{};   ///< `state.json`, remora.state/1
  std::string prompt{};  ///< `prompt.md`: what this attempt was started with
  /// To `prepare`: only what is new. From `read_mind`: all of it, in order.
  std::vector<transcript_piece> transcript{};
  std::optional<std::string> result{};  ///< what the agent left in $REMORA_RESULT
};

struct request {
  run_id run;
  task_id task;
  attempt_no attempt{};
  checkpoint_no number{};
  std::string reason{};
  git::oid base{};
  /// The journal's word for the previous record, never what the ref says. Of another run in the
  /// first checkpoint of a rerun.
  std::optional<git::oid> previous{};
  std::optional<checkpoint_no> from{};
  git::snapshot files{};
  checkpoint::mind mind{};
  std::int64_t seconds = 0;
  /// Thinning: start a new chain (files on the base, no previous record). The transcript goes on.
  bool thin = false;
};

struct prepared {
  record what;   ///< `commit` is set; every object is durable
  git::oid old;  ///< what the ref must hold for the swap (zero: nothing)
  bool changed_files = true;
  std::uint64_t bytes = 0;   ///< written since the last one, its snapshot included
  std::uint64_t packed = 0;  ///< what it added on the disk
};

class store {
 public:
  /// `branch`: keep `remora-wip/…` beside the record ref.
  store(git::repository& repo, git::object_writer& objects, bool branch);

  /// Writes both commits and the barrier. `old` is `request.previous`, or for the first checkpoint
  /// of a rerun's chain nothing. Where the files are those of the previous record, its files commit
  /// is used again. The same request gives the same ids. Cost: proportional to what is new.
  /// Errors: errno (disk full), errc::corrupt (the previous record; a named object is missing).
  result<prepared> prepare(request r);

  /// Moves the record ref (durable). Then the branch, best effort: rebuilt by `mend_branch`. Where
  /// the ref holds something else, that is kept at `refs/remora/foreign/<run>/<task>/<12 digits>`
  /// and ours is put in its place: no error, but to be reported. What is damaged is not kept, since
  /// a ref to it makes `git gc` fail; of a checkpoint's record then its files, if they are sound.
  /// Idempotent.
  /// Errors: errc::ref_moved (somebody keeps moving it), errc::corrupt (it cannot be read),
  /// errc::repository (a user's ref is in the way).
  struct published {
    std::optional<std::string> kept;    ///< where a foreign value went
    std::optional<git::oid> damaged;    ///< a value that is not kept, since it cannot all be read
    bool was_missing = false;           ///< somebody had deleted the ref
    std::optional<error> branch_error;  ///< why the branch did not follow
  };
  result<published> publish(const prepared& p);

  /// After a crash between the two: ref = new → saved; ref = old and objects complete → swapped
  /// now; anything else is foreign, as above. Returns false where the objects are not complete: it
  /// never happened, and no ref was touched. Idempotent. Cost: reads every object that is new in
  /// this checkpoint (a power cut leaves files without their bytes).
  /// `how`: filled as by `publish`. Errors: as `publish`; errc::unsupported.
  result<bool> recover(const run_id& run, const task_id& task, const git::oid& commit,
                       const git::oid& old, published* how = nullptr);

  /// The newest record, or nothing. Errors: errc::corrupt, errc::unsupported, errc::foreign (the
  /// ref holds something else).
  result<std::optional<record>> newest(const run_id& run, const task_id& task) const;
  /// For when `newest` is damaged, or what it names cannot be read (G13): the newest record of
  /// which every object is sound. A record that cannot be read names no predecessor: then `known`
  /// is asked, the ids that the journal has, newest first. Cost: reads whole checkpoints.
  /// Errors: errc::no_match (there is no checkpoint), errc::corrupt (none is left).
  result<record> newest_readable(const run_id& run, const task_id& task,
                                 std::span<const git::oid> known = {}) const;
  /// Newest first, as far as `previous` reaches within the task; stops at a damaged record (G13).
  result<std::vector<record>> history(const run_id& run, const task_id& task) const;
  /// Whether commit `tip`, and all that it reaches and `base` does not, can be read. Errors: errno.
  result<bool> is_sound(const git::oid& tip, const git::oid& base) const;
  /// Whether every file of a commit can be read. Cost: reads them all. Errors: errno.
  result<bool> is_readable(const git::oid& commit) const;
  /// Every (run, task) that has a record ref.
  result<std::vector<std::pair<run_id, task_id>>> all() const;

  /// The whole mind. Errors of all that read: errc::corrupt, with the checkpoint and the path;
  /// errc::unsupported for a newer schema.
  result<mind> read_mind(const record& r) const;
  result<std::string> read_state(const record& r) const;  ///< only `state.json`
  /// What `git::restore_worktree` needs. Staged entries whose objects never were in the database
  /// are left out; `index.note` says so.
  result<git::snapshot> read_snapshot(const record& r) const;
  /// The transcript's bytes of one attempt, in order. `stream`: `out`, `err` or `times`; an attempt
  /// without one gives nothing. Errors: errc::usage for another stream.
  result<std::string> read_transcript(const record& r, attempt_no attempt,
                                      std::string_view stream) const;

  /// Deletes record ref, then branch, if they are `expected` (and its files commit, or one of an
  /// earlier checkpoint of the task). A branch that somebody committed to stays. Idempotent.
  /// Errors: errc::ref_moved: a newer checkpoint is there; nothing was deleted.
  result<void> remove(const record& expected);
  /// The branch shows the newest record's files commit; without a record it is deleted, if it is
  /// ours. A branch that the user has checked out is left alone: errc::held.
  result<void> mend_branch(const run_id& run, const task_id& task);

 private:
  git::repository& repo_;
  git::object_writer& objects_;
  bool branch_;
  std::uint64_t counted_;  ///< of the writer's bytes, those that earlier checkpoints were told of
};

}  // namespace remora::checkpoint

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
/// added: rewriting a growing piece stores 60 times as much (toolchain.md §9).
struct transcript_piece {
  attempt_no attempt;
  std::string out;
  std::string err;
  std::string times;  ///< `<ms since the attempt's start> <bytes of out so far>` a line
};

/// Everything beside the files. Serialised state and prompt come from the rooms that know them.
struct mind {
  std::string state;   ///< `state.json`, remora.state/1
  std::string prompt;  ///< `prompt.md`: what this attempt was started with
  std::vector<transcript_piece> transcript;
  std::optional<std::string> result;  ///< what the agent left in $REMORA_RESULT
};

struct request {
  run_id run;
  task_id task;
  attempt_no attempt;
  checkpoint_no number;
  std::string reason;
  git::oid base;
  std::optional<git::oid>
      previous;  ///< the journal's word for the previous record, never what the ref says
  std::optional<checkpoint_no> from;
  git::snapshot files;
  checkpoint::mind mind;
  std::int64_t seconds = 0;
};

struct prepared {
  record what;   ///< `commit` is set; every object is durable
  git::oid old;  ///< what the ref must hold for the swap (zero: nothing)
  bool changed_files = true;
  std::uint64_t bytes = 0;  ///< written for it
};

class store {
 public:
  /// `branch`: keep `remora-wip/…` beside the record ref.
  store(git::repository& repo, git::object_writer& objects, bool branch);

  /// Writes both commits and the barrier. `old` is `request.previous`, or for the first checkpoint
  /// of a rerun's chain nothing. Errors: errno (disk full), errc::corrupt.
  result<prepared> prepare(request r);

  /// Moves the record ref (durable). Then the branch, best effort: rebuilt by `mend_branch`.
  /// Errors: errc::foreign: the ref holds something else; it was kept at `refs/remora/foreign/…`,
  /// ours was put in place, and `kept` names where. Only a locked ref is retried.
  struct published {
    std::optional<std::string> kept;  ///< where a foreign value went
  };
  result<published> publish(const prepared& p);

  /// After a crash between the two: ref = new → saved; ref = old and objects complete → swapped
  /// now; anything else is foreign, as above. Returns false where the objects are not complete: it
  /// never happened.
  result<bool> recover(const run_id& run, const task_id& task, const git::oid& commit,
                       const git::oid& old);

  /// The newest record, or nothing.
  result<std::optional<record>> newest(const run_id& run, const task_id& task) const;
  /// Newest first, as far as `previous` reaches within the task; stops at a damaged record (G13).
  result<std::vector<record>> history(const run_id& run, const task_id& task) const;
  /// Every (run, task) that has a record ref.
  result<std::vector<std::pair<run_id, task_id>>> all() const;

  /// The whole mind. Errors: errc::corrupt.
  result<mind> read_mind(const record& r) const;
  result<std::string> read_state(const record& r) const;  ///< only `state.json`
  /// What `git::restore_worktree` needs.
  result<git::snapshot> read_snapshot(const record& r) const;
  /// The transcript's bytes of one attempt, in order.
  result<std::string> read_transcript(const record& r, attempt_no attempt,
                                      std::string_view stream) const;

  /// Deletes record ref, then branch, if they are `expected` (and its files commit). Idempotent.
  /// Errors: errc::ref_moved: a newer checkpoint is there; nothing was deleted.
  result<void> remove(const record& expected);
  /// The branch shows the newest record's files commit, or is not there.
  result<void> mend_branch(const run_id& run, const task_id& task);

 private:
  git::repository& repo_;
  git::object_writer& objects_;
  bool branch_;
};

}  // namespace remora::checkpoint

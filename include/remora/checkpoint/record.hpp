// A checkpoint is two commits, published by one compare-and-swap of one ref
// (docs/checkpoint-format.md). *Files commit*: its tree is the worktree, its one parent the
// previous files commit or the base. *Record commit*: its tree is the mind; its parents are its
// files commit, the previous record, and every commit that must stay reachable. Which is which is
// said by trailers, never by position.
#pragma once

#include <map>
#include <remora/core/clock.hpp>
#include <remora/core/ids.hpp>
#include <remora/git/manifest.hpp>

namespace remora::checkpoint {

/// The trailers of both commits.
struct record {
  run_id run;
  task_id task;
  attempt_no attempt{};
  checkpoint_no number{};
  std::string reason{};  ///< `turn`, `mutation`, `interval`, `soft`, `timed out: wall`, `exit`,
                         ///< `request`, `rewind`, …
  git::oid base{};       ///< the task's base commit
  git::head_state head{};
  git::oid files{};                     ///< the files commit
  std::optional<git::oid> previous{};   ///< the previous record
  std::vector<git::oid> keep{};         ///< commits that must stay reachable
  std::optional<checkpoint_no> from{};  ///< of a rewind
  std::int64_t seconds = 0;             ///< when, since the epoch

  git::oid commit{};      ///< of this record; zero until written
  git::oid mind{};        ///< its tree
  git::oid files_tree{};  ///< the files commit's tree
};

/// Subject and trailers: `remora: checkpoint 7 of parser (timed out: wall)`. `files` and below are
/// left out of the files commit's message.
std::string files_message(const record& r);
std::string record_message(const record& r);
/// The inverse, from the trailers of the last paragraph; what a message cannot tell (`seconds`,
/// `commit`, `mind`, `files_tree`) is left empty. Pure. Errors: as `read_record`.
result<record> parse_files_message(std::string_view message);
result<record> parse_record_message(std::string_view message);
/// Reads the record at `commit`. Errors: errc::foreign (not a commit of ours), errc::corrupt, and
/// errc::unsupported (a newer Remora-Format: says which version is needed).
result<record> read_record(const git::repository& repo, const git::oid& commit);

/// refs/remora/wip/<run>/<task>: the truth.
std::string wip_ref(const run_id& run, const task_id& task);
/// refs/heads/remora-wip/<run>/<task>: the checkpoint branch that people read.
std::string wip_branch(const run_id& run, const task_id& task);
/// refs/heads/remora/<run>/<task>: the task's own branch.
std::string task_branch(const run_id& run, const task_id& task);
/// refs/remora/runs/<run>.
std::string run_ref(const run_id& run);

}  // namespace remora::checkpoint

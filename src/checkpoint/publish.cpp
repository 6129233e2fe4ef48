// Moving and deleting the refs of a checkpoint.
#include <fmt/format.h>

#include <chrono>
#include <remora/checkpoint/foreign.hpp>
#include <remora/checkpoint/store.hpp>

#include "checkpoint/complete.hpp"

namespace remora::checkpoint {
namespace {

/// Between a read of a ref and its swap somebody may move it again. Of eight writers at one ref on
/// a busy machine one may lose 64 times in turn, which takes less than a second.
constexpr std::chrono::seconds patience{10};

/// What of `value` may have a name: all of it; or of a damaged record's its files; or nothing. A
/// ref to what is damaged makes the user's `git gc` fail.
result<std::optional<git::oid>> sound_part(const git::repository& repo, const git::oid& value,
                                           const git::oid& base) {
  REMORA_TRY(const bool sound, is_sound(repo, value, base));
  if (sound) return std::optional(value);
  if (const auto r = read_record(repo, value)) {
    REMORA_TRY(const bool files_sound, is_sound(repo, r->files, base));
    if (files_sound) return std::optional(r->files);
  }
  return std::optional<git::oid>();
}

/// Keeps what somebody else put into the ref of `ours`.
result<void> keep_foreign(git::repository& repo, const record& ours, const git::oid& value,
                          store::published& how) {
  REMORA_TRY(const auto part, sound_part(repo, value, ours.base));
  if (part != value) how.damaged = value;
  if (part) {
    REMORA_TRY(how.kept, keep_aside(repo, foreign_refs(ours.run, ours.task), *part));
  }
  return {};
}

/// True: the ref's file is there and says nothing that is an id, as after another program's crash.
bool is_unreadable(const git::repository& repo, const std::string& ref) {
  const auto holds = repo.read_ref(ref);
  return !holds && holds.error().is(errc::corrupt);
}

/// Makes the record ref hold `ours`, from `old` or whatever it holds.
result<void> take_ref(git::repository& repo, const record& ours, const git::oid& old,
                      store::published& how) {
  const std::string ref = wip_ref(ours.run, ours.task);
  git::oid from = old;
  const auto until = std::chrono::steady_clock::now() + patience;
  do {
    const auto swapped = repo.swap_ref(ref, from, ours.commit);
    if (swapped) return {};
    if (!swapped.error().is(errc::ref_moved) && !is_unreadable(repo, ref)) return swapped.error();
    REMORA_TRY(const auto holds, repo.read_or_delete_ref(ref));
    if (holds == ours.commit) return {};
    how.was_missing = !holds;
    from = holds.value_or(git::oid());
    // A ref may name an object that is not there; then there is nothing to keep.
    if (holds && *holds != old && repo.exists(*holds))
      REMORA_CHECK(keep_foreign(repo, ours, *holds, how));
  } while (std::chrono::steady_clock::now() < until);
  return fail(
      errc::ref_moved,
      fmt::format("{} is moved by another program as fast as by us: stop that program", ref));
}

error checked_out(const std::string& branch) {
  return fail(errc::held, fmt::format("{} is checked out in your repository, so it is left as it "
                                      "is: `git switch --detach` lets it follow",
                                      branch));
}

/// The branch is derived: whatever it holds is replaced. It is never synced, so a power cut may
/// have left no bytes of it.
result<void> set_branch(git::repository& repo, const std::string& branch, const git::oid& files) {
  const auto holds = repo.read_ref(branch);
  if (!holds && !holds.error().is(errc::corrupt)) return holds.error();
  if (holds && *holds == files) return {};
  if (repo.head_ref() == branch) return checked_out(branch);
  return repo.set_derived_ref(branch, files);
}

/// True for a files commit of the task, or for `files`, which a rerun may share with an older run.
bool is_ours(const git::repository& repo, const run_id& run, const task_id& task,
             const git::oid& commit, const git::oid& files) {
  if (commit == files) return true;
  const auto info = repo.read_commit(commit);
  if (!info) return false;
  const auto said = parse_files_message(info->message);
  return said && said->run == run && said->task == task;
}

/// Deletes the branch unless somebody works on it.
result<void> delete_branch(git::repository& repo, const run_id& run, const task_id& task,
                           const git::oid& files) {
  const std::string branch = wip_branch(run, task);
  REMORA_TRY(const auto holds, repo.read_or_delete_ref(branch));
  if (!holds || !is_ours(repo, run, task, *holds, files)) return {};
  if (repo.head_ref() == branch) return checked_out(branch);
  return repo.delete_ref(branch, *holds);
}

}  // namespace

result<store::published> store::publish(const prepared& p) {
  published how;
  REMORA_CHECK(take_ref(repo_, p.what, p.old, how));
  if (branch_) {
    auto moved = set_branch(repo_, wip_branch(p.what.run, p.what.task), p.what.files);
    if (!moved) how.branch_error = moved.error();
  }
  return how;
}

result<bool> store::recover(const run_id& run, const task_id& task, const git::oid& commit,
                            const git::oid& old, published* how) {
  auto r = read_record(repo_, commit);
  if (!r && r.error().is(errc::corrupt)) return false;
  if (!r) return r.error();
  if (r->run != run || r->task != task)
    return fail(errc::foreign, fmt::format("{} is a checkpoint of {} in run {}", commit.hex(),
                                           r->task.str(), r->run.str()));
  const auto holds = repo_.read_ref(wip_ref(run, task));
  if (!holds && !holds.error().is(errc::corrupt)) return holds.error();
  if (!holds || *holds != commit) {
    std::optional<record> before;
    if (r->previous)
      if (auto previous = read_record(repo_, *r->previous)) before = std::move(*previous);
    REMORA_TRY(const bool complete, is_complete(repo_, *r, before));
    if (!complete) return false;
  }
  REMORA_TRY(published done, publish({.what = std::move(*r), .old = old}));
  if (how) *how = std::move(done);
  return true;
}

result<void> store::remove(const record& expected) {
  REMORA_CHECK(repo_.delete_ref(wip_ref(expected.run, expected.task), expected.commit));
  return delete_branch(repo_, expected.run, expected.task, expected.files);
}

result<void> store::mend_branch(const run_id& run, const task_id& task) {
  if (!branch_) return {};
  REMORA_TRY(const auto r, newest(run, task));
  if (r) return set_branch(repo_, wip_branch(run, task), r->files);
  return delete_branch(repo_, run, task, git::oid());
}

}  // namespace remora::checkpoint

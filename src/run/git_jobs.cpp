#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <remora/core/json_fields.hpp>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/reuse.hpp>
#include <remora/run/fold.hpp>
#include <remora/run/git_jobs.hpp>
#include <remora/run/layout.hpp>
#include <remora/run/leftovers.hpp>

#include "run/read_mended.hpp"
#include "run/recover.hpp"
#include "run/slot_branch.hpp"

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// Bytes [from, to) of a file that only grows.
result<std::string> read_range(const fs::path& file, std::uint64_t from, std::uint64_t to) {
  std::string bytes;
  if (from >= to) return bytes;
  REMORA_TRY(const unique_fd fd, open_file(file, O_RDONLY));
  bytes.resize(to - from);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = ::pread(fd.get(), bytes.data() + filled, bytes.size() - filled,
                              static_cast<off_t>(from + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, fmt::format("cannot read {}", file.string()));
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
  }
  bytes.resize(filled);
  return bytes;
}

std::string head_note(const git::snapshot& s, const std::string& branch) {
  if (s.head.ref == branch || s.head.commit.is_zero()) return {};
  if (s.head.ref.empty()) return fmt::format("HEAD is detached at {}", s.head.commit.hex());
  return fmt::format("HEAD was on {} at {}", s.head.ref, s.head.commit.hex());
}

result<std::shared_ptr<workspace>> open_workspace(git_worker* worker, git::worktree tree,
                                                  const slot_request& r) {
  auto opened = std::make_shared<workspace>();
  REMORA_TRY(git::snapshotter snapshots,
             git::snapshotter::open(worker->repo, tree, r.base, r.rules));
  opened->tree = std::move(tree);
  opened->snapshots.emplace(std::move(snapshots));
  opened->base = r.base;
  opened->rules = r.rules;
  return opened;
}

result<git::snapshot> read_checkpoint(git_worker* worker, const git::oid& id) {
  return read_mended(worker->repo, [&]() -> result<git::snapshot> {
    checkpoint::store store(worker->repo, worker->objects, true);
    REMORA_TRY(const checkpoint::record record, checkpoint::read_record(worker->repo, id));
    return store.read_snapshot(record);
  });
}

/// Ignored paths come from the user's checkout; what is not there is remarked, not an error.
result<void> copy_into(const slot_request& r, slot_made& made, std::stop_token stop) {
  if (r.copy_from.empty() || r.copy.empty()) return {};
  REMORA_TRY(const auto absent,
             git::copy_ignored(r.copy_from, made.workspace->tree.root, r.copy, stop));
  for (const std::string& path : absent)
    made.remarks.push_back(
        fmt::format("workspace.copy: {} is not in {}", to_utf8(path), r.copy_from.string()));
  return {};
}

/// An agent's commit may be lost though its files are not: his git syncs nothing and the power
/// went, or another agent's `git repack -ad` threw away what no ref reached yet. Then they are what
/// differs from the base.
result<void> restore_into(git_worker* worker, const slot_request& r, git::snapshot files,
                          slot_made& made, std::stop_token stop) {
  made.head_note = head_note(files, r.branch);
  const checkpoint::store store(worker->repo, worker->objects, true);
  const git::oid head = files.head.commit;
  REMORA_TRY(const bool sound, head.is_zero() ? true : store.is_sound(head, r.base));
  if (!sound) {
    made.head_note =
        fmt::format("the commit {} is lost: what it held is there, uncommitted", head.hex());
    made.remarks.push_back(made.head_note);
    files.head = {r.base, r.branch};
    files.operation.clear();  // a merge or rebase of what is lost
  }
  REMORA_TRY(const git::restore_report report,
             git::restore_worktree(worker->repo, made.workspace->tree, r.branch, files, stop));
  for (const git::omission& o : report.not_restored)
    made.remarks.push_back(fmt::format("not restored: {} ({})", to_utf8(o.path), o.reason));
  return {};
}

/// Why git could not make a worktree. A base that it cannot read is for its owner to mend: until
/// then the task waits.
error not_checked_out(error e, const checkpoint::store& store, const git::oid& base) {
  if (!e.is(errc::repository)) return e;
  const auto readable = store.is_readable(base);
  if (!readable || *readable) return e;
  return fail(errc::corrupt,
              fmt::format("{}; the base {} is damaged: 'git fsck' names what is missing. Fetch it "
                          "again, then 'remora resume' goes on",
                          e.what, base.hex()));
}

/// What another task has left, as this one's; removed where it cannot become that. Nobody watches
/// its directories for that task any more.
result<git::worktree> take_used(git_worker* worker, const slot_request& r, slot_made& made,
                                std::stop_token stop) {
  auto taken = git::reuse_worktree(worker->repo, *r.used->snapshots, r.branch, r.base, stop);
  r.used->snapshots.reset();
  if (taken) return taken;
  const fs::path& root = r.used->tree.root;
  if (const auto removed = git::remove_half_made(worker->repo, root); !removed)
    made.remarks.push_back(fmt::format("the worktree {} of a task that is over stays: {}",
                                       root.string(), removed.error().what));
  return taken;
}

result<git::worktree> check_out_freed(git_worker* worker, const slot_request& r, slot_made& made,
                                      std::stop_token stop) {
  const checkpoint::store store(worker->repo, worker->objects, true);
  REMORA_TRY(std::string remark, free_branch(worker->repo, store, r));
  if (!remark.empty()) made.remarks.push_back(std::move(remark));
  if (r.used && r.used->snapshots)
    if (auto taken = take_used(worker, r, made, stop); taken || stop.stop_requested()) return taken;
  REMORA_TRY(const fs::path root, reserve_slot(r.slots_root));
  auto tree = git::add_worktree(worker->repo, root, r.branch, r.base, stop);
  if (tree) return tree;
  ::rmdir(root.c_str());
  return not_checked_out(tree.error(), store, r.base);
}

/// A directory with the task's branch checked out; nothing is left behind where that fails.
result<git::worktree> check_out(git_worker* worker, const slot_request& r, slot_made& made,
                                std::stop_token stop) {
  REMORA_CHECK(git::await_worktrees(worker->repo, stop));
  // What the task had is removed by its path, which must not be one that another has reserved.
  REMORA_TRY(const unique_fd held, hold_slots(r.slots_root));
  auto tree = check_out_freed(worker, r, made, stop);
  // Another git has moved the branch since it was freed: that is kept aside as well.
  if (!tree && tree.error().is(errc::ref_moved)) tree = check_out_freed(worker, r, made, stop);
  return tree;
}

result<void> fill_slot(git_worker* worker, const slot_request& r, git::worktree tree,
                       slot_made& made, std::stop_token stop) {
  REMORA_TRY(made.workspace, open_workspace(worker, std::move(tree), r));
  if (!made.in_place) REMORA_CHECK(copy_into(r, made, stop));
  if (!r.record) return {};
  REMORA_TRY(git::snapshot files, read_checkpoint(worker, *r.record));
  if (!made.in_place) REMORA_CHECK(restore_into(worker, r, files, made, stop));
  if (r.same_run) made.workspace->last = std::move(files);
  return {};
}

/// What earlier snapshots wrote, and no ref came to name, may have been removed.
result<void> forget_snapshots(git_worker* worker, workspace& where) {
  REMORA_TRY(git::snapshotter fresh,
             git::snapshotter::open(worker->repo, where.tree, where.base, where.rules));
  where.snapshots.emplace(std::move(fresh));
  return {};
}

/// Nothing follows a final snapshot: it looks everywhere, and what may pass has another chance now.
result<git::snapshot> take_snapshot(git_worker* worker, git::snapshotter& of, bool final,
                                    const std::stop_token& stop) {
  const git::look where = final ? git::look::everywhere : git::look::where_told;
  auto files = of.take(worker->repo, worker->objects, stop, where);
  if (files || !final || stop.stop_requested() || files.error().is(errc::vanished)) return files;
  return of.take(worker->repo, worker->objects, stop, where);
}

void add_ids(const boost::json::object& from, std::string_view key, std::vector<git::oid>& ids) {
  const boost::json::value* list = from.if_contains(key);
  if (!list || !list->is_object()) return;
  for (const auto& member : list->get_object())
    if (const auto id = git::oid::parse(json_text(list->get_object(), member.key())))
      ids.push_back(*id);
}

/// Whether the checkpoint that was prepared last has taken the place of the one saved before: its
/// end may not be in the journal's file yet.
bool has_replaced(const git::repository& repo, const run_id& run, const task_fold& task) {
  const auto id = task_id::parse(task.id);
  if (!id || !task.prepared) return false;
  const auto holds = repo.read_ref(checkpoint::wip_ref(run, *id));
  return holds && *holds == task.prepared->record;
}

/// What runs that go on need, whatever became of its refs: newest checkpoints, those that reruns
/// go on from, bases, results. Errors: of a journal that is there and cannot be read.
result<std::vector<git::oid>> named_in_journals(const git::repository& repo) {
  std::vector<git::oid> ids;
  std::error_code ec;
  const std::vector<run_id> runs = local_runs(repo, &ec);
  if (ec) return fail(errc::environment, "cannot list the runs: " + ec.message());
  for (const run_id& run : runs) {
    const auto journal = read_journal(run_layout(repo.common_dir(), run).journal());
    if (!journal && !journal.error().is(errc::no_match) && !journal.error().is(errc::corrupt))
      return journal.error();
    if (!journal) continue;  // made anew, it is made of refs
    const run_fold fold = fold_records(journal->records);
    add_ids(fold.started, "bases", ids);
    add_ids(fold.started, "records", ids);
    for (const auto& [name, task] : fold.tasks) {
      ids.insert(ids.end(), {task.base, task.published});
      if (task.prepared) ids.insert(ids.end(), {task.prepared->record, task.prepared->files});
      if (task.saved && !has_replaced(repo, run, task))
        ids.insert(ids.end(), {task.saved->record, task.saved->files});
    }
  }
  std::erase_if(ids, [](const git::oid& id) { return id.is_zero(); });
  return ids;
}

}  // namespace

result<slot_made> make_slot(git_worker* worker, slot_request r, std::stop_token stop) {
  REMORA_CHECK(worker->check_lock());
  slot_made made;
  made.in_place = !r.reuse.empty();
  if (made.in_place) {
    const checkpoint::store store(worker->repo, worker->objects, true);
    REMORA_TRY(std::string remark, mend_branch(worker->repo, store, r));
    if (!remark.empty()) made.remarks.push_back(std::move(remark));
  }
  REMORA_TRY(git::worktree tree, made.in_place ? git::open_worktree(worker->repo, r.reuse)
                                               : check_out(worker, r, made, stop));
  const fs::path root = tree.root;
  const auto filled = fill_slot(worker, r, std::move(tree), made, stop);
  if (filled) return made;
  if (!made.in_place) {  // best effort: the error that led here is the one to tell
    (void)git::remove_worktree(worker->repo, root);
    if (const auto left = worker->repo.read_ref(r.branch); left && *left)
      (void)worker->repo.delete_ref(r.branch, **left);
  }
  return filled.error();
}

result<save_taken> take_checkpoint(git_worker* worker, std::shared_ptr<workspace> where,
                                   save_request r, std::stop_token stop) {
  save_taken taken;
  REMORA_CHECK(git::check_worktree(where->tree));
  REMORA_TRY(taken.held, git::hold_objects(worker->repo));
  const std::int64_t removal = git::last_removal(worker->repo);
  if (where->unpublished && where->removal != removal)
    REMORA_CHECK(forget_snapshots(worker, *where));
  where->unpublished = true;
  where->removal = removal;
  if (r.final) {
    REMORA_TRY(taken.removed_locks, git::remove_stale_locks(worker->repo, where->tree, r.branch));
  }
  REMORA_TRY(git::snapshot files, take_snapshot(worker, *where->snapshots, r.final, stop));
  taken.files_scanned = files.files_scanned;
  taken.left_out = files.manifest.left_out;

  const std::optional<git::snapshot>& last = where->last;
  const bool index_differs = last && (last->index.entries != files.index.entries ||
                                      last->index.removed != files.index.removed);
  const bool nested_differ = last && (last->manifest.nested != files.manifest.nested ||
                                      last->manifest.submodules != files.manifest.submodules);
  taken.files_differ = !last || last->tree != files.tree || index_differs || nested_differ;
  taken.head_moved =
      last ? last->head.commit != files.head.commit : files.head.commit != r.record.base;
  const bool quiet = (!last || last->manifest.left_out == files.manifest.left_out) &&
                     r.out_from == r.out_to && r.err_from == r.err_to &&
                     r.last_state == r.record.mind.state;
  if (last && !taken.files_differ && last->head == files.head && quiet) {
    where->unpublished = false;  // a ref has it all
    return taken;
  }
  if (last) {
    REMORA_TRY(const git::diff_summary diff,
               git::diff_trees(worker->repo, last->tree, files.tree, false));
    taken.files_changed = diff.files.size();
  } else {
    REMORA_TRY(const git::commit_info base, worker->repo.read_commit(r.record.base));
    REMORA_TRY(const git::diff_summary diff,
               git::diff_trees(worker->repo, base.tree, files.tree, false));
    taken.files_changed = diff.files.size();
    taken.files_differ =
        taken.files_changed > 0 || !files.index.entries.empty() || !files.index.removed.empty();
  }

  checkpoint::transcript_piece piece{
      .attempt = r.record.attempt, .out = {}, .err = {}, .times = std::move(r.times)};
  REMORA_TRY(piece.out, read_range(r.attempt_dir / "out", r.out_from, r.out_to));
  REMORA_TRY(piece.err, read_range(r.attempt_dir / "err", r.err_from, r.err_to));
  if (!piece.out.empty() || !piece.err.empty())
    r.record.mind.transcript.push_back(std::move(piece));
  r.record.files = files;
  checkpoint::store store(worker->repo, worker->objects, r.keep_branch);
  REMORA_TRY(taken.prepared, store.prepare(std::move(r.record)));
  taken.files = std::move(files);
  return taken;
}

result<std::string> publish_checkpoint(git_worker* worker, std::shared_ptr<workspace> where,
                                       checkpoint::prepared prepared, git::snapshot files,
                                       bool keep_branch) {
  REMORA_CHECK(worker->check_lock());
  checkpoint::store store(worker->repo, worker->objects, keep_branch);
  auto published = store.publish(prepared);
  if (!published) return published.error();
  where->last = std::move(files);
  where->unpublished = false;
  return remark_on(*published, prepared.what.task);
}

result<bool> merge_packs(const git::repository* repo, std::stop_token stop) {
  REMORA_TRY(git::repository own, repo->reopen());
  return git::consolidate_packs(own, stop);
}

result<std::optional<std::uint64_t>> remove_unreachable(const git::repository* repo,
                                                        std::stop_token stop) {
  REMORA_TRY(git::repository own, repo->reopen());
  return git::remove_unreachable(own, [&] { return named_in_journals(own); }, stop);
}

result<git::oid> read_files_commit(git_worker* worker, git::oid id) {
  REMORA_TRY(const checkpoint::record record, checkpoint::read_record(worker->repo, id));
  return record.files;
}

result<transcript_sizes> saved_transcript(git_worker* worker, git::oid id, attempt_no attempt) {
  return read_mended(worker->repo, [&]() -> result<transcript_sizes> {
    checkpoint::store store(worker->repo, worker->objects, true);
    REMORA_TRY(const checkpoint::record record, checkpoint::read_record(worker->repo, id));
    REMORA_TRY(const std::string out, store.read_transcript(record, attempt, "out"));
    REMORA_TRY(const std::string err, store.read_transcript(record, attempt, "err"));
    return transcript_sizes{out.size(), err.size()};
  });
}

result<task_changes> changes_since(git_worker* worker, git::oid base, git::oid files,
                                   std::size_t patch_limit) {
  return read_mended(worker->repo, [&]() -> result<task_changes> {
    task_changes changes;
    REMORA_TRY(const git::commit_info from, worker->repo.read_commit(base));
    REMORA_TRY(const git::commit_info to, worker->repo.read_commit(files));
    REMORA_TRY(changes.summary, git::diff_trees(worker->repo, from.tree, to.tree));
    REMORA_TRY(changes.patch, git::diff_patch(worker->repo, from.tree, to.tree, patch_limit));
    return changes;
  });
}

result<void> remove_checkpoint(git_worker* worker, run_id ours, git::oid id) {
  REMORA_CHECK(worker->check_lock());
  checkpoint::store store(worker->repo, worker->objects, true);
  REMORA_TRY(const checkpoint::record record, checkpoint::read_record(worker->repo, id));
  if (record.run == ours) return store.remove(record);
  REMORA_TRY(const held_run old, held_run::take(worker->repo, record.run));
  return store.remove(record);
}

result<void> set_slot_aside(git_worker* worker, std::shared_ptr<workspace> where,
                            std::string branch) {
  REMORA_CHECK(worker->check_lock());
  return git::set_aside(worker->repo, where->tree, branch);
}

result<void> remove_free_slot(git_worker* worker, fs::path root) {
  REMORA_CHECK(worker->check_lock());
  REMORA_CHECK(git::remove_half_made(worker->repo, root));
  return {};
}

result<void> remove_slot(git_worker* worker, fs::path root, std::string branch) {
  REMORA_CHECK(worker->check_lock());
  return git::remove_worktree(worker->repo, root, branch);
}

}  // namespace remora::run

// The result of a task, made of its final checkpoint.
#include <fmt/format.h>

#include <remora/checkpoint/foreign.hpp>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/ref_log.hpp>
#include <remora/run/git_jobs.hpp>

#include "run/read_mended.hpp"

namespace remora::run {
namespace {

struct final_state {
  git::oid head;
  std::string remark;  ///< why `head` is not the agent's; empty: it is
  git::result_tree tree;
  std::vector<git::omission> left_out;
  bool whole = true;
};

bool is_unborn(const git::head_state& head) {
  return head.commit.is_zero() && !head.ref.empty();
}

/// What the result is built on: HEAD, or where commits of it are damaged, or gone with somebody's
/// `git gc --prune=now`, that of the newest earlier checkpoint which is whole; at last the base.
result<git::oid> sound_head(const git_worker* worker, const checkpoint::store& store,
                            const checkpoint::record& final, const git::oid& base) {
  git::oid tried;
  for (std::optional<checkpoint::record> at = final; at && !is_unborn(at->head);) {
    const git::oid& head = at->head.commit;
    if (!head.is_zero() && head != tried) {
      REMORA_TRY(const bool sound, store.is_sound(head, base));
      if (sound) return head;
      tried = head;
    }
    if (!at->previous) break;
    auto before = checkpoint::read_record(worker->repo, *at->previous);
    if (!before) break;
    at = std::move(*before);
  }
  return base;
}

result<final_state> read_final(git_worker* worker, const result_request& r) {
  git::repository& repo = worker->repo;
  checkpoint::store store(repo, worker->objects, true);
  REMORA_TRY(const checkpoint::record record, checkpoint::read_record(repo, r.record));
  REMORA_TRY(const git::snapshot files, store.read_snapshot(record));
  final_state f;
  REMORA_TRY(f.head, sound_head(worker, store, record, r.base));
  if (f.head != record.head.commit && !is_unborn(record.head))
    f.remark = fmt::format(
        "commits of the agent ({}) are damaged or gone: the result has all files of the "
        "checkpoint, in one commit on {}",
        record.head.commit.is_zero() ? "its HEAD could not be read" : record.head.commit.hex(),
        f.head.hex());
  REMORA_TRY(f.tree, git::make_result_tree(repo, worker->objects, files.tree, f.head,
                                           files.manifest, r.rules));
  f.left_out = files.manifest.left_out;
  f.left_out.insert(f.left_out.end(), f.tree.left_out.begin(), f.tree.left_out.end());
  for (const git::nested_repository& n : files.manifest.nested)
    f.left_out.push_back({n.path + "/.git", "nested repository"});
  for (const git::submodule_files& s : files.manifest.submodules)
    f.left_out.push_back({s.path, "submodule content"});
  f.whole = f.left_out.empty() && files.stashes.empty();
  return f;
}

/// The commit that holds `f`: HEAD's own, one that a predecessor of ours left on the branch before
/// it could tell, or a new one.
result<git::oid> result_commit(git_worker* worker, const result_request& r, const final_state& f,
                               const std::optional<git::oid>& tip) {
  git::repository& repo = worker->repo;
  REMORA_TRY(const git::commit_info head, repo.read_commit(f.head));
  if (f.tree.tree == head.tree) return f.head;
  const std::string subject = r.title.empty() ? r.task.str() : r.title;
  const std::string message =
      fmt::format("{}\n\nWhat the agent left uncommitted.\n\nRemora-Run: {}\nRemora-Task: {}\n",
                  one_line(subject, 72), r.run.str(), r.task.str());
  if (tip) {
    const auto there = repo.read_commit(*tip);
    if (there && there->tree == f.tree.tree && there->parents == std::vector{f.head} &&
        there->message == message)
      return *tip;
  }
  const git::oid parents[] = {f.head};
  return worker->objects.commit(f.tree.tree, parents, repo.user_signature(), message);
}

void add_remark(std::string& to, const std::string& text) {
  to += (to.empty() ? "" : "; ") + text;
}

result<void> move_branch(git_worker* worker, const result_request& r, const git::oid& to,
                         const std::optional<git::oid>& tip, std::string& remark) {
  git::repository& repo = worker->repo;
  REMORA_CHECK(worker->objects.barrier());
  REMORA_CHECK(worker->check_lock());
  if (tip == to) return {};
  bool sound = true;
  if (tip) {
    const checkpoint::store store(repo, worker->objects, true);
    REMORA_TRY(sound, store.is_sound(*tip, r.base));
    REMORA_TRY(const bool kept, sound ? repo.is_ancestor(*tip, to) : result<bool>(true));
    if (!kept) {
      REMORA_TRY(const std::string name, checkpoint::keep_aside(repo, r.aside, *tip));
      add_remark(remark,
                 fmt::format("{} held commits that are not in the result; they are kept at {}",
                             r.branch, name));
    }
  }
  REMORA_CHECK(repo.swap_ref(r.branch, tip.value_or(git::oid()), to));
  return sound ? result<void>() : git::remove_ref_log(repo, r.branch);
}

}  // namespace

result<result_made> publish_result(git_worker* worker, result_request r) {
  git::repository& repo = worker->repo;
  REMORA_TRY(const unique_fd held, git::hold_objects(repo));
  result_made made;
  const bool again = !r.published.is_zero();
  auto final = read_mended(repo, [&] { return read_final(worker, r); });
  // Published before, and whole: its checkpoint may be pruned, and lacked nothing.
  if (!final && !(again && (r.published_whole || final.error().is(errc::corrupt))))
    return final.error();
  if (!final && !r.published_whole)  // what it lacked nobody knows: the worktree stays
    made.left_out.push_back({".", std::string(git::unreadable)});
  if (final) {
    made.left_out = final->left_out;
    REMORA_TRY(const bool descends, repo.is_ancestor(r.base, final->head));
    made.head_moved = !descends;
  }
  made.whole = again ? r.published_whole : final->whole;
  made.commit = r.published;
  if (!again) {
    REMORA_TRY(const std::optional<git::oid> tip, repo.read_or_delete_ref(r.branch));
    made.remark = final->remark;
    REMORA_TRY(made.commit, result_commit(worker, r, *final, tip));
    REMORA_CHECK(move_branch(worker, r, made.commit, tip, made.remark));
  }
  REMORA_TRY(const git::commit_info base, repo.read_commit(r.base));
  REMORA_TRY(const git::commit_info result, repo.read_commit(made.commit));
  REMORA_TRY(made.changes, git::diff_trees(repo, base.tree, result.tree));
  REMORA_TRY(const auto commits, repo.commits_between(r.base, made.commit, 10'000));
  made.commits = commits.size();
  return made;
}

result<std::vector<std::string>> user_branches(git_worker* worker) {
  REMORA_TRY(const auto refs, worker->repo.list_refs("refs/heads/"));
  std::vector<std::string> names;
  for (const git::ref_info& ref : refs)
    if (!ref.name.starts_with("refs/heads/remora/") &&
        !ref.name.starts_with("refs/heads/remora-wip/"))
      names.push_back(ref.name);
  return names;
}

}  // namespace remora::run

// Worktrees whose run is not here any more: what they hold is saved before they go; those of which
// nobody knows whose they are.
#include <fmt/format.h>

#include <algorithm>
#include <remora/checkpoint/foreign.hpp>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/snapshot.hpp>
#include <remora/run/leftovers.hpp>

#include "run/doctor_parts.hpp"

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// The files as they are, on HEAD, under a ref that stays; what HEAD alone held stays with them.
/// The same files give the same commit. Returns the ref's name.
result<std::string> keep_files(git::repository& repo, const std::string& branch,
                               const git::worktree& tree) {
  REMORA_TRY(const unique_fd held, git::hold_objects(repo));
  git::object_writer objects(repo);
  REMORA_TRY(const auto tip, repo.read_ref(branch));
  git::oid base = tip.value_or(git::oid());
  if (!tip) {
    REMORA_TRY(base, repo.resolve_commit("HEAD"));
  }
  REMORA_TRY(git::snapshotter snapshots,
             git::snapshotter::open(repo, tree, base, git::snapshot_rules()));
  REMORA_TRY(const git::snapshot files, snapshots.take(repo, objects, {}));
  if (!files.manifest.left_out.empty())
    return fail(errc::unsupported,
                fmt::format("{} stays: {} of its paths cannot be saved ({}: {})",
                            to_utf8(tree.root.string()), files.manifest.left_out.size(),
                            to_utf8(files.manifest.left_out.front().path),
                            files.manifest.left_out.front().reason));
  if (!files.manifest.nested.empty())
    return fail(
        errc::unsupported,
        fmt::format("{} stays: it holds a repository ({}), which only a checkpoint can save",
                    to_utf8(tree.root.string()), to_utf8(files.manifest.nested.front().path)));
  std::vector<git::oid> parents;
  std::int64_t seconds = 0;
  if (!files.head.commit.is_zero()) {
    parents.push_back(files.head.commit);
    REMORA_CHECK(objects.adopt_commits(files.head.commit, base));
    REMORA_TRY(const git::commit_info head, repo.read_commit(files.head.commit));
    seconds = head.author.seconds;
  }
  REMORA_TRY(const git::oid kept,
             objects.commit(files.tree, parents, git::remora_signature(seconds),
                            fmt::format("remora: what the worktree of {} held\n", branch)));
  REMORA_CHECK(objects.barrier());
  const std::string below = branch.substr(std::string_view("refs/heads/remora/").size());
  return checkpoint::keep_aside(repo, fmt::format("refs/remora/foreign/{}/", below), kept);
}

result<std::string> save_and_remove(git::repository& repo, const fs::path& root,
                                    const std::string& branch, const run_id& run) {
  if (trace_of(repo, run) != run_trace::unknown) return std::string();
  REMORA_TRY(const auto agents, process::find_shims(run.str() + "."));
  if (!agents.empty())
    return fail(errc::held, fmt::format("agents of run {} work in it", run.str()));
  auto tree = git::open_worktree(repo, root);
  if (!tree) return tree.error();
  REMORA_TRY(git::repository own, repo.reopen());
  REMORA_TRY(const std::string kept, keep_files(own, branch, *tree));
  REMORA_CHECK(git::remove_worktree(repo, root));
  return fmt::format("saved {} as {}, and removed it", root.string(), kept);
}

/// A run that goes on tells of its worktrees itself.
bool is_slot_of_a_run(const git::repository& repo, const fs::path& root) {
  return std::ranges::any_of(local_runs(repo), [&](const run_id& run) {
    const auto fold = fold_of(repo, run);
    return fold && std::ranges::any_of(fold->tasks, [&](const auto& task) {
             return same_place(task.second.slot, root);
           });
  });
}

/// Nothing says any more which task it was made for.
void examine_lost_worktree(const git::repository& repo, const git::made_worktree& tree,
                           findings& found) {
  std::error_code ec;
  if (!tree.git_dir.empty() || tree.half || fs::is_empty(tree.root, ec) || ec ||
      is_slot_of_a_run(repo, tree.root))
    return;
  const std::string root = to_utf8(tree.root.string());
  found.push_back(
      {.kind = "worktree-lost",
       .subject = root,
       .text = "git no longer knows this worktree, as after a power cut: its files are there, but "
               "nothing says whose they were",
       .remedy = fmt::format("copy what is needed of it, then remove it: rm -rf '{}'", root),
       .note = true});
}

}  // namespace

void examine_worktrees(git::repository& repo, findings& found) {
  for (const git::made_worktree& tree : git::made_worktrees(repo)) {
    if (tree.there) examine_lost_worktree(repo, tree, found);
    const auto run = run_named_in(tree.branch);
    if (!tree.there || !run || trace_of(repo, *run) != run_trace::unknown) continue;
    finding f{.kind = "worktree-without-run",
              .subject = to_utf8(tree.root.string()),
              .text = fmt::format("it is a worktree of run {}, which is not here any more: nothing "
                                  "goes on in it, and it may hold work",
                                  run->str()),
              .remedy =
                  "its files and commits are saved under refs/remora/foreign/, then it is "
                  "removed; what the ignore rules leave out is not saved"};
    f.fix = [root = tree.root, branch = tree.branch, run = *run](git::repository& r) {
      return save_and_remove(r, root, branch, run);
    };
    found.push_back(std::move(f));
  }
}

}  // namespace remora::run

#include "run/checkout_base.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/result_tree.hpp>
#include <remora/git/snapshot.hpp>

namespace remora::run {
namespace {

result<git::worktree> checkout_of(const git::repository& repo) {
  if (!repo.work_dir())
    return fail(errc::repository,
                fmt::format("'base: worktree' needs a checkout, and {} is bare: name a commit",
                            to_utf8(repo.common_dir().string())));
  git::worktree tree;
  tree.root = *repo.work_dir();
  tree.git_dir = repo.git_dir();
  struct stat st{};
  if (::stat(tree.root.c_str(), &st) != 0)
    return os_error(errno, "cannot examine " + to_utf8(tree.root.string()));
  tree.device = st.st_dev;
  tree.inode = st.st_ino;
  return tree;
}

/// What no commit of the files can hold. `.git`: of a worktree that is not linked it is the
/// repository itself.
std::vector<git::omission> not_in_a_tree(const git::manifest& m) {
  std::vector<git::omission> left_out;
  for (const git::omission& o : m.left_out)
    if (o.path != ".git") left_out.push_back(o);
  for (const git::nested_repository& n : m.nested)
    left_out.push_back({n.path + "/.git", "a repository of its own: its files are there"});
  for (const git::submodule_files& s : m.submodules)
    left_out.push_back({s.path, "a submodule: its commit is there, its changes are not"});
  return left_out;
}

}  // namespace

result<checkout_base> commit_checkout(git_worker* worker, std::int64_t seconds) {
  REMORA_CHECK(worker->check_lock());
  const git::repository& repo = worker->repo;
  REMORA_TRY(worker->base_held, git::hold_objects(worker->repo));
  REMORA_TRY(git::worktree tree, checkout_of(repo));
  REMORA_TRY(const git::oid head, repo.resolve_commit("HEAD"));
  REMORA_TRY(git::snapshotter shots, git::snapshotter::open(repo, std::move(tree), head, {}));
  REMORA_TRY(const git::snapshot files, shots.take(repo, worker->objects, {}));
  REMORA_TRY(git::result_tree made, git::make_result_tree(repo, worker->objects, files.tree, head,
                                                          files.manifest, git::result_rules()));
  checkout_base base{head, not_in_a_tree(files.manifest)};
  base.left_out.insert(base.left_out.end(), made.left_out.begin(), made.left_out.end());
  REMORA_TRY(const git::commit_info on, repo.read_commit(head));
  if (made.tree == on.tree) return base;
  const git::oid parents[] = {head};
  REMORA_TRY(base.commit, worker->objects.commit(made.tree, parents, git::remora_signature(seconds),
                                                 "The checkout as it was when the run began\n"));
  REMORA_CHECK(worker->objects.barrier());
  return base;
}

}  // namespace remora::run

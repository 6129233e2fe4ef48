#include <fmt/format.h>

#include <filesystem>
#include <remora/git/packs.hpp>
#include <remora/git/worktree.hpp>
#include <remora/run/layout.hpp>
#include <remora/run/retire.hpp>

namespace remora::run {
namespace {

result<void> delete_ref(git::repository& repo, const std::string& name) {
  const auto read = repo.read_ref(name);
  if (!read && read.error().is(errc::corrupt)) return repo.delete_unreadable_ref(name);
  REMORA_TRY(const auto target, read);
  if (!target) return {};
  return repo.delete_ref(name, *target);
}

bool is_ours(const std::string& ref) {
  return ref.starts_with("refs/heads/remora/") || ref.starts_with("refs/heads/remora-wip/");
}

}  // namespace

result<bool> is_merged(const git::repository& repo, const git::oid& commit) {
  for (const char* prefix : {"refs/heads/", "refs/tags/", "refs/remotes/"}) {
    REMORA_TRY(const auto refs, repo.list_refs(prefix));
    for (const git::ref_info& ref : refs) {
      if (is_ours(ref.name)) continue;
      const auto reaches = repo.is_ancestor(commit, ref.target);
      if (reaches && *reaches)
        return true;  // a tag of something else than a commit reaches nothing
    }
  }
  return false;
}

result<std::string> unmerged_work(const git::repository& repo, const run_view& view,
                                  const task_fold& task) {
  REMORA_TRY(const task_id id, task_id::parse(task.id));
  REMORA_TRY(const auto branch, repo.read_ref(checkpoint::task_branch(view.id, id)));
  if (branch) {
    REMORA_TRY(const bool merged, is_merged(repo, *branch));
    if (!merged)
      return fmt::format("result {} of task {} is not merged anywhere", branch->hex().substr(0, 10),
                         task.id);
  }
  REMORA_TRY(const auto checkpoint, repo.read_ref(checkpoint::wip_ref(view.id, id)));
  if (checkpoint)
    return fmt::format("the checkpoint of task {} holds work that is nowhere else", task.id);
  return std::string();
}

result<void> drop_task(git::repository& repo, const run_view& view, const task_fold& task) {
  REMORA_TRY(const task_id id, task_id::parse(task.id));
  if (!task.slot.empty() && std::filesystem::exists(task.slot))
    REMORA_CHECK(git::remove_worktree(repo, task.slot));
  REMORA_CHECK(delete_ref(repo, checkpoint::wip_ref(view.id, id)));
  REMORA_CHECK(delete_ref(repo, checkpoint::wip_branch(view.id, id)));
  return delete_ref(repo, checkpoint::task_branch(view.id, id));
}

result<void> remove_run(git::repository& repo, const run_view& view) {
  for (const auto& [name, task] : view.fold.tasks) REMORA_CHECK(drop_task(repo, view, task));
  REMORA_CHECK(delete_ref(repo, checkpoint::run_ref(view.id)));
  std::error_code ec;
  std::filesystem::remove_all(run_layout(repo.common_dir(), view.id).root, ec);
  if (ec)
    return fail(errc::environment, fmt::format("the directory of run {} cannot be removed: {}",
                                               view.id.str(), ec.message()));
  return {};
}

void release_packs(const git::repository& repo) {
  const auto in_use = [&] {
    std::error_code ec;
    using entries = std::filesystem::directory_iterator;
    for (entries it(repo.common_dir() / "remora" / "runs", ec), end; !ec && it != end;
         it.increment(ec)) {
      const auto id = run_id::parse(it->path().filename().string());
      if (id && is_live(run_layout(repo.common_dir(), *id))) return true;
    }
    return false;
  };
  (void)git::release_kept_packs(repo, in_use);
}

}  // namespace remora::run

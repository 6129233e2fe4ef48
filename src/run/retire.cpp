#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <remora/core/clock.hpp>
#include <remora/core/posix.hpp>
#include <remora/git/left_out.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/worktree.hpp>
#include <remora/run/retire.hpp>
#include <remora/run/run_lock.hpp>

namespace remora::run {
namespace json = boost::json;
namespace {

result<void> delete_ref(git::repository& repo, const std::string& name) {
  REMORA_TRY(const auto target, repo.read_or_delete_ref(name));
  if (!target) return {};
  return repo.delete_ref(name, *target);
}

/// Whether its last checkpoint lacks what is in its worktree alone.
bool left_only_copy(const task_fold& task) {
  const json::value* left_out = task.ended.if_contains("left_out");
  if (!left_out || !left_out->is_array()) return false;
  return std::ranges::any_of(left_out->get_array(), [](const json::value& v) {
    const json::value* reason = v.is_object() ? v.get_object().if_contains("reason") : nullptr;
    return reason && reason->is_string() && git::is_nowhere_else(reason->get_string());
  });
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
  if (!left_only_copy(task)) return std::string();
  REMORA_TRY(const bool made, git::is_made_worktree(repo, task.slot));
  std::error_code ec;
  const auto there = std::filesystem::symlink_status(task.slot, ec).type();
  if (made && there != std::filesystem::file_type::not_found)
    return fmt::format("{} holds files of task {} that are in no checkpoint", task.slot, task.id);
  return std::string();
}

namespace {

/// After what the journal holds, as its owner's next life would.
result<void> append_offline(const run_layout& layout, std::string type, json::object payload) {
  REMORA_TRY(const journal_contents contents, read_journal(layout.journal()));
  REMORA_TRY(const auto file, open_journal_file(layout.journal(), contents.valid_bytes));
  const sequence last = contents.records.empty() ? 0 : contents.records.back().seq;
  const record r{last + 1, iso8601(machine_clock().wall()), std::move(type), std::move(payload)};
  REMORA_CHECK(file->append(journal_line(r, 0, boot_id(), last)));
  return file->sync();
}

}  // namespace

result<void> cancel_task(git::repository& repo, const run_view& view, const task_fold& task,
                         const run_lock& lock) {
  if (task.is_done()) return {};
  REMORA_TRY(const task_id id, task_id::parse(task.id));
  const json::object payload{
      {"task", task.id},
      {"outcome", "cancelled"},
      {"verdict", "cancelled"},
      {"attempts", task.attempts.empty() ? 0u : task.attempts.back().number.value()},
      {"branch", checkpoint::task_branch(view.id, id)},
      {"base", task.base.hex()},
      {"commit", nullptr},
      {"why", "it was dropped"}};
  const run_layout layout(repo.common_dir(), view.id);
  std::error_code ec;
  if (std::filesystem::exists(layout.journal(), ec))  // the run's end records it
    return append_offline(layout, "task_ended", payload);
  git::object_writer objects(repo);
  run_record_writer record(repo, objects, view.id, &lock);
  REMORA_CHECK(record.open());
  return record.task_ended(id, payload, std::nullopt, std::nullopt);
}

result<void> drop_task(git::repository& repo, const run_view& view, const task_fold& task) {
  REMORA_TRY(const task_id id, task_id::parse(task.id));
  const std::string branch = checkpoint::task_branch(view.id, id);
  if (!task.slot.empty()) {
    REMORA_TRY(const bool made, git::is_made_worktree(repo, task.slot));  // else another clone's
    if (made) REMORA_CHECK(git::remove_worktree(repo, task.slot, branch));
  }
  for (const git::made_worktree& tree : git::made_worktrees(repo))  // half made, and never lent
    if (tree.branch == branch) REMORA_CHECK(git::remove_worktree(repo, tree.root));
  REMORA_CHECK(delete_ref(repo, checkpoint::wip_ref(view.id, id)));
  REMORA_CHECK(delete_ref(repo, checkpoint::wip_branch(view.id, id)));
  return delete_ref(repo, branch);
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
    return std::ranges::any_of(local_runs(repo), [&](const run_id& run) {
      const run_layout layout(repo.common_dir(), run);
      std::error_code ec;
      return is_live(layout) || std::filesystem::exists(layout.journal(), ec);
    });
  };
  (void)git::release_kept_packs(repo, in_use);
}

}  // namespace remora::run

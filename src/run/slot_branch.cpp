#include "run/slot_branch.hpp"

#include <fmt/format.h>

#include <remora/checkpoint/foreign.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/git/ref_log.hpp>
#include <set>

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// What a file of git's says; empty where there is none. Errors: errno.
result<std::string> words_of(const fs::path& file) {
  const auto text = read_file(file, 4096);
  if (text) return std::string(trim(*text));
  if (says_gone(text.error())) return std::string();
  return text.error();
}

/// `entry`: git's directory of a worktree that has the branch.
result<void> take_from(git::repository& repo, const slot_request& r, const fs::path& entry,
                       const std::optional<git::oid>& tip) {
  REMORA_TRY(const std::string gitfile, words_of(entry / "gitdir"));
  const fs::path root = fs::path(gitfile).parent_path();
  if (!root.is_absolute()) return git::remove_broken_entry(repo, entry);
  // The directory may have been deleted and made again, for another task: only the entry is ours.
  REMORA_TRY(const std::string points_to, words_of(root / ".git"));
  if (!points_to.empty() && points_to != "gitdir: " + entry.string())
    return git::remove_broken_entry(repo, entry);
  std::error_code ec;
  const fs::file_type there = fs::symlink_status(root, ec).type();
  if (there == fs::file_type::none) return os_error(ec.value(), root.string());
  if (!same_place(root.parent_path(), r.slots_root))
    return fail(errc::repository,
                fmt::format("{} is checked out at {}: 'git -C {} switch --detach' "
                            "lets the task go on",
                            r.branch, root.string(), root.string()));
  // Whatever no attempt was started in holds nobody's work: a predecessor died before it told.
  const bool abandoned = root == fs::path(r.abandoned) || same_place(root, r.abandoned);
  if (!abandoned || there == fs::file_type::not_found)
    return git::remove_worktree(repo, root, r.branch);
  // From here on nothing says that it is the task's, so that no later life takes it for such a one.
  REMORA_CHECK(write_file_durably(entry / "locked", "abandoned by " + r.branch + "\n", 0644));
  return write_file_durably(entry / "HEAD", tip.value_or(r.base).hex() + "\n", 0644);
}

/// The commit that the checkpoint was on; without one, or where it is lost, the base.
result<git::oid> known_head(const git::repository& repo, const checkpoint::store& store,
                            const slot_request& r) {
  if (!r.record) return r.base;
  REMORA_TRY(const checkpoint::record record, checkpoint::read_record(repo, *r.record));
  if (record.head.commit.is_zero()) return r.base;
  REMORA_TRY(const bool sound, store.is_sound(record.head.commit, r.base));
  return sound ? record.head.commit : r.base;
}

/// Git's directories of the worktrees that have the task's branch, or were made for it: a restore
/// may have detached HEAD.
result<std::vector<fs::path>> entries_of(const git::repository& repo, const std::string& branch) {
  std::set<fs::path> entries, ours;
  for (const git::made_worktree& tree : git::made_worktrees(repo)) {
    ours.insert(tree.git_dir);
    if (tree.branch == branch) entries.insert(tree.git_dir);
  }
  std::error_code ec;
  fs::directory_iterator at(repo.common_dir() / "worktrees", ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec)) {
    const fs::path& entry = at->path();
    const auto head = words_of(entry / "HEAD");
    const bool others = !head && head.error().is_errno(EACCES) && !ours.contains(entry);
    if (!head && !others) return head.error();
    if (head && *head == "ref: " + branch) entries.insert(entry);
  }
  if (ec && ec.value() != ENOENT) return os_error(ec.value(), "cannot list git's worktrees");
  return std::vector<fs::path>(entries.begin(), entries.end());
}

}  // namespace

result<bool> is_slot_of(const git::repository& repo, const fs::path& root,
                        const std::string& branch) {
  std::error_code ec;
  // In this order: git says whose a worktree is before it puts anything there. Until then the
  // directory is reserved, and what git says is of one that was there before.
  const bool there = fs::exists(root, ec) && !fs::is_empty(root, ec);
  if (ec && ec.value() != ELOOP)
    return os_error(ec.value(), "cannot look at the worktree " + root.string());
  if (!there) return false;
  REMORA_TRY(const bool others, git::is_made_for_another(repo, root, branch));
  return !others;
}

result<std::string> mend_branch(git::repository& repo, const checkpoint::store& store,
                                const slot_request& r) {
  REMORA_TRY(const std::optional<git::oid> tip, repo.read_or_delete_ref(r.branch));
  if (tip) {
    REMORA_TRY(const bool sound, store.is_sound(*tip, r.base));
    if (sound) return std::string();
  }
  REMORA_TRY(const git::oid known, known_head(repo, store, r));
  REMORA_CHECK(repo.swap_ref(r.branch, tip.value_or(git::oid()), known));
  REMORA_CHECK(git::remove_ref_log(repo, r.branch));
  return fmt::format(
      "{} held {}: it is at {} again, and the files of the worktree are as they were", r.branch,
      tip ? tip->hex() + ", which is damaged" : "no commit any more", known.hex());
}

result<std::string> free_branch(git::repository& repo, const checkpoint::store& store,
                                const slot_request& r) {
  if (!r.discard.empty()) REMORA_CHECK(git::remove_worktree(repo, r.discard, r.branch));
  if (repo.head_ref() == r.branch)
    return fail(errc::repository,
                fmt::format("{} is checked out in your repository: 'git switch --detach' lets the "
                            "task go on",
                            r.branch));
  bool unreadable = false;
  REMORA_TRY(const std::optional<git::oid> tip, repo.read_or_delete_ref(r.branch, &unreadable));
  REMORA_TRY(const std::vector<fs::path> entries, entries_of(repo, r.branch));
  for (const fs::path& entry : entries) REMORA_CHECK(take_from(repo, r, entry, tip));
  std::string remark;
  if (unreadable) remark = fmt::format("{} held no commit any more: it is made anew", r.branch);
  if (!tip) return remark;
  REMORA_TRY(const bool sound, store.is_sound(*tip, r.base));
  if (!sound) {
    remark = fmt::format("the commit {} of {} is damaged: it goes on from the last checkpoint",
                         tip->hex(), r.branch);
    REMORA_CHECK(repo.swap_ref(r.branch, *tip, r.base));
    REMORA_CHECK(git::remove_ref_log(repo, r.branch));
    return remark;
  }
  REMORA_TRY(const git::oid known, known_head(repo, store, r));
  REMORA_TRY(const bool kept, repo.is_ancestor(*tip, known));
  if (!kept) {
    REMORA_TRY(const std::string name, checkpoint::keep_aside(repo, r.aside, *tip));
    remark =
        fmt::format("{} held commits that no checkpoint has; they are kept at {}", r.branch, name);
  }
  REMORA_CHECK(repo.swap_ref(r.branch, *tip, r.base));
  return remark;
}

}  // namespace remora::run

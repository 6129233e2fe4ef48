#include <remora/git/restore.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <remora/core/text.hpp>
#include <utility>

#include "git/gitdir_state.hpp"
#include "git/index_writer.hpp"
#include "git/nested.hpp"
#include "git/submodule.hpp"
#include "git/submodule_files.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

std::string full_branch(const std::string& branch) {
  return branch.starts_with("refs/") ? branch : "refs/heads/" + branch;
}

/// Where HEAD shall be, and what is moved for it.
struct head_plan {
  std::string text;              ///< of the file HEAD; empty: it stays
  std::optional<oid> move_from;  ///< the branch is moved from here (zero: made)
};

result<head_plan> plan_head(const repository& repo, const std::string& branch,
                            const head_state& head) {
  head_plan plan;
  if (head.commit.is_zero()) {
    // A branch without a commit, and HEAD may only name it while it still has none.
    if (head.ref.empty()) return plan;
    REMORA_TRY(const std::optional<oid> there, repo.read_ref(head.ref));
    if (!there) plan.text = "ref: " + head.ref + '\n';
    return plan;
  }
  plan.text = head.commit.hex() + '\n';
  if (head.ref != branch) return plan;
  REMORA_TRY(const std::optional<oid> there, repo.read_ref(branch));
  if (there) {
    REMORA_TRY(const bool behind, repo.is_ancestor(*there, head.commit));
    if (!behind) return plan;
  }
  plan.text = "ref: " + branch + '\n';
  plan.move_from = there.value_or(oid());
  return plan;
}

result<void> restore_head(repository& repo, int git_dir, const std::string& branch,
                          const head_state& head, restore_report& report) {
  REMORA_TRY(const head_plan plan, plan_head(repo, branch, head));
  if (plan.text.empty()) {
    report.not_restored.push_back({".git/HEAD", "it was not known, or its branch exists now"});
    return {};
  }
  if (plan.move_from && *plan.move_from != head.commit) {
    REMORA_CHECK(repo.swap_ref(branch, *plan.move_from, head.commit));
  }
  return replace_file(git_dir, "HEAD", plan.text, 0666);
}

result<void> restore_operation(int git_dir, const snapshot& what, restore_report& report) {
  remove_operation(git_dir);
  for (const auto& [name, bytes] : what.operation) {
    if (!is_operation_path(name)) {
      report.not_restored.push_back({".git/" + name, "name refused"});
      continue;
    }
    const std::size_t slash = name.rfind('/');
    const std::string above = slash == name.npos ? std::string() : name.substr(0, slash);
    REMORA_TRY(const unique_fd dir, above.empty()
                                        ? open_beneath(git_dir, ".", O_RDONLY | O_DIRECTORY)
                                        : make_path(git_dir, above));
    REMORA_CHECK(
        replace_file(dir.get(), name.substr(slash == name.npos ? 0 : slash + 1), bytes, 0666));
  }
  return {};
}

/// A directory whose files are replaced: the worktree, or a submodule in it.
struct place {
  int root;
  const std::filesystem::path& git_dir;  ///< the worktree's
  const shared_rules& ignore;
  const index_view& index;
};

/// Writes what is not there as `request` says, and removes what it and its manifest do not have.
/// What is there then.
result<directory_ptr> replace_files(const repository& repo, const place& at, write_request request,
                                    const std::stop_token& stop, restore_report& report) {
  // What is there, compared with what shall be: unchanged files are known by their stats.
  const ignore_list nothing;
  scan_rules how;
  how.ignore = &at.ignore;
  how.include = &nothing;
  how.convert = conversions::of(repo);
  how.max_file_bytes = std::numeric_limits<std::uint64_t>::max();
  how.keep_skipped = false;
  hash_sink sink;
  scanner before(repo, sink, at.index, how, 1, stop);
  REMORA_TRY(const scan_result now,
             before.run(at.root, at.git_dir, scanner::base_root(request.tree)));
  REMORA_CHECK(remove_other_nested(at.root, now.manifest, *request.manifest));
  request.now = &now;
  REMORA_TRY(report, tree_writer(repo, at.root, request, stop).run());

  // Only now are the snapshot's own ignore rules there, which say what may be removed.
  how.forget_untracked = true;
  scanner after(repo, sink, at.index, how, 2, stop);
  REMORA_TRY(scan_result written, after.run(at.root, at.git_dir, now.root));
  remove_leftovers(repo, at.root, written, request.tree, *request.manifest, report);
  make_empty_directories(at.root, *request.manifest, report);
  return std::move(written.root);
}

/// The files of submodules, outer ones first. `git_dir`: the worktree's.
result<void> restore_submodules(const repository& repo, int root,
                                const std::filesystem::path& git_dir, const shared_rules& shared,
                                const manifest& wanted, const std::stop_token& stop,
                                restore_report& report) {
  for (const submodule_files& s : wanted.submodules) {
    const auto dir = make_path(root, s.path);
    if (!dir) {
      report.not_restored.push_back({s.path, "the directory cannot be made"});
      continue;
    }
    const unique_fd own = open_submodule_git_dir(repo, git_dir, dir->get());
    index_view index;
    if (own) {
      REMORA_TRY(index, index_view::read(own.get()));
    }
    const shared_rules ignore = own ? shared.in_submodule(own.get()) : shared;
    const manifest inner = below(wanted, s.path);
    restore_report filled;
    REMORA_CHECK(replace_files(repo, {dir->get(), git_dir, ignore, index},
                               {s.files, &inner, nullptr, {}, s.files}, stop, filled));
    report.files_written += filled.files_written;
    report.files_removed += filled.files_removed;
    for (omission& o : filled.not_restored)
      report.not_restored.push_back({s.path + '/' + o.path, std::move(o.reason)});
  }
  return {};
}

/// With an entry for each file of a directory that `state` has as a whole.
result<index_state> spelled_out(const repository& repo, index_state state) {
  std::vector<index_entry> whole;
  const auto sort_out = [&](index_entry e) {
    (e.mode == mode::directory ? whole : state.entries).push_back(std::move(e));
  };
  for (index_entry& e : std::exchange(state.entries, {})) sort_out(std::move(e));
  while (!whole.empty()) {
    const index_entry above = std::move(whole.back());
    whole.pop_back();
    REMORA_TRY(const std::vector<tree_entry> entries, repo.read_tree(above.id));
    for (const tree_entry& e : entries) {
      index_entry one = above;
      one.path += '/' + e.name;
      one.mode = e.mode;
      one.id = e.id;
      sort_out(std::move(one));
    }
  }
  return state;
}

result<oid> tree_of(const repository& repo, const oid& commit) {
  if (commit.is_zero()) return oid();
  REMORA_TRY(const commit_info info, repo.read_commit(commit));
  return info.tree;
}

/// The tree whose attributes rule: the head's; where there is none, or it is lost, the files' own.
result<oid> ruling_attributes(const repository& repo, const snapshot& what) {
  const auto head = tree_of(repo, what.head.commit);
  if (!head && !head.error().is(errc::corrupt)) return head.error();
  return head && !head->is_zero() ? *head : what.tree;
}

}  // namespace

result<restore_report> restore_worktree(repository& repo, const worktree& tree,
                                        const std::string& branch, const snapshot& what,
                                        std::stop_token stop) {
  REMORA_CHECK(check_worktree(tree));
  REMORA_TRY(const unique_fd root, open_file(tree.root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  REMORA_TRY(const unique_fd git_dir, open_file(tree.git_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st{};
  if (::fstat(root.get(), &st) != 0 || st.st_ino != tree.inode || st.st_dev != tree.device)
    return fail(errc::vanished,
                fmt::format("the worktree {} was replaced", to_utf8(tree.root.string())));

  const shared_rules shared = shared_rules::read(repo);
  REMORA_TRY(const index_view index, index_view::read(git_dir.get()));
  REMORA_TRY(const oid head_tree, tree_of(repo, what.head.commit));
  REMORA_TRY(const oid attributes, ruling_attributes(repo, what));
  write_request request{what.tree, &what.manifest, nullptr, {}, attributes};
  REMORA_TRY(const index_state changed, spelled_out(repo, what.index));
  for (const index_entry& e : changed.entries)
    if (e.skip_worktree && e.stage == 0) request.skipped.emplace(e.path, e.id);
  std::vector<omission> refused;
  REMORA_TRY(const std::vector<index_entry> staged,
             staged_entries(repo, head_tree, changed, refused));
  restore_report report;
  REMORA_TRY(const directory_ptr files,
             replace_files(repo, {root.get(), tree.git_dir, shared, index}, std::move(request),
                           stop, report));
  std::ranges::move(refused, std::back_inserter(report.not_restored));
  REMORA_CHECK(
      restore_submodules(repo, root.get(), tree.git_dir, shared, what.manifest, stop, report));
  REMORA_CHECK(restore_nested(repo, root.get(), what.manifest, stop, report));

  REMORA_CHECK(restore_head(repo, git_dir.get(), full_branch(branch), what.head, report));
  REMORA_CHECK(write_index(root.get(), git_dir.get(), staged, *files, index));
  REMORA_CHECK(restore_operation(git_dir.get(), what, report));
  return report;
}

result<restore_report> export_files(const repository& repo, const snapshot& what,
                                    const std::filesystem::path& to, std::stop_token stop) {
  REMORA_CHECK(make_directories(to, 0777));
  REMORA_TRY(const unique_fd root, open_file(to, O_RDONLY | O_DIRECTORY));
  name_list names;
  REMORA_CHECK(names.read(root.get()));
  if (names.size() > 0)
    return fail(errc::usage,
                fmt::format("{} is not empty: name a directory that is new", to_utf8(to.string())));
  manifest plain = what.manifest;
  plain.left_out.clear();  // nothing is there that could be spared
  REMORA_TRY(const oid attributes, ruling_attributes(repo, what));
  const write_request request{what.tree, &plain, nullptr, {}, attributes};
  REMORA_TRY(restore_report report, tree_writer(repo, root.get(), request, stop).run());
  make_empty_directories(root.get(), plain, report);
  REMORA_CHECK(restore_submodules(repo, root.get(), repo.common_dir(), shared_rules::read(repo),
                                  plain, stop, report));
  REMORA_CHECK(restore_nested(repo, root.get(), plain, stop, report));
  return report;
}

}  // namespace remora::git

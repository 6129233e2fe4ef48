#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>
#include <remora/git/programs.hpp>
#include <remora/git/worktree.hpp>

#include "git/careful.hpp"
#include "git/remove_tree.hpp"
#include "git/worktree_books.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes checkout_deadline{30};
constexpr std::string_view heads = "refs/heads/";

error gone(const fs::path& root, std::string_view why) {
  return fail(errc::vanished,
              fmt::format("the worktree {} is not what it was: {}", to_utf8(root.string()), why));
}

result<unique_fd> open_root(const fs::path& root) {
  auto fd = open_directory(AT_FDCWD, root.string());
  if (!fd && says_gone(fd.error())) return gone(root, fd.error().what);
  return fd;
}

/// `root` may be absent, or an empty directory of the caller's.
result<void> check_free(const fs::path& root) {
  std::error_code ec;
  const fs::file_status status = fs::symlink_status(root, ec);
  if (status.type() == fs::file_type::not_found) return {};
  if (status.type() == fs::file_type::directory && fs::is_empty(root, ec) && !ec) return {};
  return fail(errc::repository, fmt::format("{} exists already and remora did not make it: move it "
                                            "away, or choose another workspace.dir",
                                            to_utf8(root.string())));
}

/// What a file of an entry says; a power cut may leave zero bytes of it.
result<std::string> words_of(int entry, const char* name) {
  const auto text = read_regular(entry, name, 4 << 10);
  if (!text && text.error().is_errno(ENOENT)) return std::string();
  if (!text) return text.error();
  return text->find_first_not_of('\0') == text->npos ? std::string() : std::string(trim(*text));
}

/// The branch that a worktree was made for: the reason of its lock, else what is checked out;
/// empty: nothing says it. Errors: errno.
result<std::string> made_for(const fs::path& git_dir) {
  constexpr std::string_view ours = "remora/", symbolic = "ref: ";
  const auto dir = open_directory(AT_FDCWD, git_dir.string());
  if (!dir && says_gone(dir.error())) return std::string();
  if (!dir) return dir.error();
  const auto reason = words_of(dir->get(), "locked"), head = words_of(dir->get(), "HEAD");
  for (const auto* read : {&reason, &head})
    if (!*read && !says_gone(read->error())) return within(git_dir.string(), read->error());
  if (reason && reason->starts_with(ours)) return std::string(heads) + *reason;
  if (!head || !head->starts_with(symbolic)) return std::string();
  return head->substr(symbolic.size());
}

/// Slots are numbers. Git makes the entry, then locks it, then writes all else (2.17 and later).
bool is_named_as_a_slot(const fs::path& entry) {
  std::error_code ec;
  const std::string name = entry.filename().string();
  return name.find_first_not_of("0123456789") == name.npos &&
         (fs::exists(entry / "locked", ec) || fs::is_empty(entry, ec));
}

/// An entry without the words that lead to a worktree: a power cut took them, or the git that was
/// to write them died.
std::optional<emptied_entry> find_emptied(const fs::path& common_dir, const fs::path& entry) {
  constexpr std::string_view ours = "refs/heads/remora/", given_up = "abandoned by ";
  const auto dir = open_directory(AT_FDCWD, entry.string());
  if (!dir) return std::nullopt;
  const auto gitdir = words_of(dir->get(), "gitdir"), head = words_of(dir->get(), "HEAD"),
             locked = words_of(dir->get(), "locked");
  if (!gitdir || !gitdir->empty() || !head || !locked) return std::nullopt;
  const auto owner = made_for(entry);
  if (!owner) return std::nullopt;
  emptied_entry found{entry, *owner};
  if (locked->starts_with(given_up)) found.branch = locked->substr(given_up.size());
  const bool wordless = head->empty() && locked->empty() && is_named_as_a_slot(entry);
  if (!wordless && !found.branch.starts_with(ours)) return std::nullopt;
  for (const fs::path& root : made_roots(common_dir)) {
    const auto fd = open_directory(AT_FDCWD, root.string());
    const auto leads_to = fd ? read_gitfile(fd->get(), root) : fd.error();
    if (leads_to && *leads_to == entry) return std::nullopt;
  }
  return found;
}

/// Somebody's git may be writing it still: that takes microseconds.
bool is_in_the_making(const fs::path& entry) {
  constexpr std::chrono::minutes longest_add{1};
  std::error_code ec;
  const auto changed = fs::last_write_time(entry, ec);
  return ec || changed + longest_add > fs::file_time_type::clock::now();
}

/// What a git that was killed had begun for `root`; git puts a number behind a name that is taken.
std::optional<fs::path> find_begun(const fs::path& common_dir, const fs::path& root) {
  if (!is_half_made(common_dir, root)) return std::nullopt;
  const std::string name = root.filename().string();
  std::error_code ec;
  std::optional<fs::path> found;
  for (const auto& entry : fs::directory_iterator(common_dir / "worktrees", ec)) {
    const bool exact = entry.path().filename() == name;
    if ((exact || (!found && entry.path().filename().string().starts_with(name))) &&
        find_emptied(common_dir, entry.path()))
      found = entry.path();
  }
  return found;
}

/// In one step: half an entry is found by nobody, git included. `remora/lock` is held.
result<void> remove_entry(const fs::path& common_dir, const std::optional<fs::path>& entry) {
  REMORA_TRY(const unique_fd ours, open_file(common_dir / "remora", O_RDONLY | O_DIRECTORY));
  REMORA_CHECK(remove_tree(ours.get(), entry_aside));  // of somebody who died below
  if (!entry) return {};
  if (::renameat(AT_FDCWD, entry->c_str(), ours.get(), entry_aside) != 0)
    return os_error(errno, fmt::format("cannot remove {}", to_utf8(entry->string())));
  ::rmdir(entry->parent_path().c_str());  // as git does with the last one; else not empty
  return remove_tree(ours.get(), entry_aside);
}

/// In one step: half a worktree may have lost its `.git`, and nobody could save what is in it then.
result<void> remove_directory(int parent, const std::string& name) {
  const std::string aside = ".remora-removed-" + name;
  REMORA_CHECK(remove_tree(parent, aside));  // of somebody who died below
  if (::renameat(parent, name.c_str(), parent, aside.c_str()) == 0)
    return remove_tree(parent, aside);
  if (errno == ENOENT) return {};
  return os_error(errno, fmt::format("cannot remove {}", to_utf8(name)));
}

/// Directory, git's entry and our note. The order matters: the note is what allows the next try.
result<void> remove_parts(const fs::path& common_dir, const fs::path& root) {
  const entry_list entries = list_entries(common_dir);
  const auto known = entries.by_root.find(real_root(root));
  std::optional<fs::path> entry;
  if (known != entries.by_root.end())
    entry = known->second;
  else if (entries.unread)  // without our note nobody would find the entry any more
    return *entries.unread;
  else
    entry = find_begun(common_dir, root);
  const auto parent = open_file(root.parent_path(), O_RDONLY | O_DIRECTORY);
  if (!parent && !parent.error().is_errno(ENOENT)) return parent.error();
  if (parent) {
    REMORA_CHECK(remove_directory(parent->get(), root.filename().string()));
  }
  REMORA_CHECK(remove_entry(common_dir, entry));
  return forget_made(common_dir, root);
}

/// With `makes_branch` the branch is made, at `commit`.
std::vector<std::string> add_arguments(const repository& repo, const fs::path& root,
                                       const std::string& branch, const oid& commit,
                                       bool makes_branch) {
  // `--force` twice: over the books of a worktree of ours whose directory somebody deleted.
  std::vector<std::string> all{
      "--git-dir", repo.common_dir().string(), "worktree", "add", "--force", "--force"};
  if (makes_branch) all.insert(all.end(), {"--no-track", "-b", branch});
  all.insert(all.end(), {"--lock", "--reason", branch, "--", root.string(),
                         makes_branch ? commit.hex() : branch});
  return all;
}

/// As late as can be: an agent may be changing the configuration.
result<program_settings> programs_to_replace(const repository& repo) {
  if (!repo.trusted()) return program_settings();
  REMORA_TRY(const program_settings now, configured_programs(repo));
  return instead_of_untrusted(*repo.trusted(), now);
}

/// Removes the plain file `name` in `dir` if it is there; true if it was.
result<bool> remove_lock(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) == 0) return true;
  if (errno == ENOENT || errno == EISDIR || errno == ENOTDIR) return false;
  return os_error(errno, fmt::format("cannot remove {}", to_utf8(name)));
}

/// Of `branch`, whose user is dead; true if it was there.
result<bool> remove_branch_lock(const fs::path& common_dir, const std::string& branch) {
  const fs::path lock = common_dir / (branch + ".lock");
  const auto refs = open_file(lock.parent_path(), O_RDONLY | O_DIRECTORY);
  if (!refs) return false;
  return remove_lock(refs->get(), lock.filename().string());
}

/// Whether a worktree is directly below `slots` of which no entry that could be read says where it
/// is.
bool has_unknown(const fs::path& slots, const entry_list& entries) {
  std::error_code ec, none;
  for (fs::directory_iterator it(slots, ec), end; !ec && it != end; it.increment(ec))
    if (!entries.by_root.contains(it->path()) && fs::exists(it->path() / ".git", none)) return true;
  return bool(ec);
}

/// What a failed `git worktree add` left: the branch goes only if this call made it.
void undo_add(const repository& repo, const fs::path& root, const std::string& branch,
              const oid& commit, bool made_branch) {
  // Best effort: the error that the caller gets is the one that led here, and a next try at this
  // root meets what is left.
  (void)remove_parts(repo.common_dir(), root);
  if (!made_branch) return;
  if (auto own = repo.reopen()) (void)own->delete_ref(branch, commit);
}

result<worktree> identify(const fs::path& root, const fs::path& git_dir) {
  REMORA_TRY(const unique_fd fd, open_root(root));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return os_error(errno, to_utf8(root.string()));
  return worktree{root, git_dir, st.st_dev, st.st_ino};
}

}  // namespace

result<worktree> add_worktree(const repository& repo, const fs::path& where,
                              const std::string& branch, const oid& commit, std::stop_token stop) {
  if (!branch.starts_with(heads) || branch.size() == heads.size())
    return fail(errc::usage, fmt::format("'{}' is not a full branch name", printable(branch)));
  const fs::path& common_dir = repo.common_dir();
  REMORA_TRY(const unique_fd lock, lock_worktrees(common_dir, stop));
  REMORA_CHECK(make_directories(fs::absolute(where).lexically_normal().parent_path(), 0700));
  const fs::path root = real_root(where);
  REMORA_CHECK(check_free(root));
  REMORA_TRY(const std::optional<oid> existing, repo.read_ref(branch));
  if (existing && *existing != commit)
    return fail(errc::ref_moved, fmt::format("the branch {} exists already", to_utf8(branch)));
  REMORA_TRY(const program_settings instead, programs_to_replace(repo));
  REMORA_CHECK(note_made(common_dir, root, making::begun));
  auto added =
      run_git(common_dir, add_arguments(repo, root, branch.substr(heads.size()), commit, !existing),
              checkout_deadline, stop, &lock, nullptr, instead);
  if (added && !added->status.success())
    added = fail(added->killed() ? errc::killed : errc::repository,
                 fmt::format("git could not make the worktree {}: {}", to_utf8(root.string()),
                             added->why()));
  const auto entry = find_entry(common_dir, root);
  if (added && !entry) added = entry.error();
  if (added && !*entry) added = gone(root, "git made no entry for it");
  if (added)
    if (const auto noted = note_made(common_dir, root, making::done); !noted) added = noted.error();
  if (!added) {
    // A git that did not end by itself has left the lock of the branch that it was making.
    if (!existing && !added.error().is(errc::repository))
      (void)remove_branch_lock(common_dir, branch);
    undo_add(repo, root, branch, commit, !existing);
    return added.error();
  }
  return identify(root, **entry);
}

result<void> await_worktrees(const repository& repo, std::stop_token stop) {
  REMORA_CHECK(lock_worktrees(repo.common_dir(), stop));
  return {};
}

result<worktree> open_worktree(const repository& repo, const fs::path& where) {
  const fs::path root = real_root(where);
  std::error_code ec;
  const fs::file_type type = fs::symlink_status(root, ec).type();
  if (type == fs::file_type::not_found) return gone(root, "nothing is there");
  if (type == fs::file_type::none) return os_error(ec.value(), to_utf8(root.string()));
  REMORA_TRY(const std::optional<fs::path> entry, find_entry(repo.common_dir(), root));
  if (!entry) return gone(root, "git has no entry for it");
  REMORA_TRY(worktree tree, identify(root, *entry));
  REMORA_CHECK(check_worktree(tree));
  return tree;
}

result<void> check_worktree(const worktree& tree) {
  REMORA_TRY(const unique_fd root, open_root(tree.root));
  struct stat st{};
  if (::fstat(root.get(), &st) != 0) return os_error(errno, to_utf8(tree.root.string()));
  if (st.st_dev != tree.device || st.st_ino != tree.inode)
    return gone(tree.root, "another directory is in its place");
  const auto target = read_gitfile(root.get(), tree.root);
  if (!target && !says_gone(target.error())) return target.error();
  if (!target) return gone(tree.root, target.error().what);
  if (*target != tree.git_dir)
    return gone(tree.root, fmt::format("its .git points to {}", to_utf8(target->string())));
  std::error_code ec;
  const bool known = fs::exists(tree.git_dir / "HEAD", ec);
  if (ec) return os_error(ec.value(), to_utf8(tree.git_dir.string()));
  if (!known) return gone(tree.root, "git's entry for it has been removed");
  return {};
}

std::vector<made_worktree> made_worktrees(const repository& repo) {
  std::vector<made_worktree> found;
  const auto entries = list_entries(repo.common_dir()).by_root;
  for (const fs::path& root : made_roots(repo.common_dir())) {
    made_worktree made{.root = root};
    std::error_code ec;
    const fs::file_type type = fs::symlink_status(root, ec).type();
    made.there = type == fs::file_type::directory;
    made.unclear = type == fs::file_type::none;
    made.half = is_half_made(repo.common_dir(), root);
    if (const auto entry = entries.find(root); entry != entries.end()) {
      made.git_dir = entry->second;
      const auto owner = made_for(entry->second);
      if (owner) made.branch = *owner;
      made.unclear = made.unclear || !owner;
    }
    found.push_back(std::move(made));
  }
  return found;
}

result<bool> is_made_for_another(const repository& repo, const fs::path& root,
                                 const std::string& branch) {
  REMORA_TRY(const auto entry, find_entry(repo.common_dir(), root));
  if (!entry) return false;
  REMORA_TRY(const std::string owner, made_for(*entry));
  return !owner.empty() && owner != branch;
}

result<std::optional<fs::path>> reclaim_worktree(const repository& repo, const std::string& branch,
                                                 const fs::path& slots) {
  const fs::path below = real_root(slots);
  const entry_list entries = list_entries(repo.common_dir());
  std::optional<error> unread;  // of one that may be it
  for (const auto& [root, entry] : entries.by_root) {
    if (root.parent_path() != below) continue;
    const auto owner = made_for(entry);
    if (!owner) unread = owner.error();
    if (!owner || *owner != branch || is_half_made(repo.common_dir(), root)) continue;
    std::error_code ec;
    const bool there = fs::exists(root / ".git", ec);
    if (ec) unread = os_error(ec.value(), to_utf8(root.string()));
    if (!there) continue;
    REMORA_TRY(const unique_fd lock, lock_worktrees(repo.common_dir(), {}));
    REMORA_TRY(const bool noted, was_made(repo.common_dir(), root));
    if (!noted) REMORA_CHECK(note_made(repo.common_dir(), root, making::done));
    return std::optional(root);
  }
  if (unread) return *unread;
  if (entries.unread && has_unknown(below, entries)) return *entries.unread;
  return std::optional<fs::path>();
}

result<bool> is_made_worktree(const repository& repo, const fs::path& root) {
  return was_made(repo.common_dir(), root);
}

result<void> remove_worktree(const repository& repo, const fs::path& where,
                             const std::string& branch) {
  const fs::path& common_dir = repo.common_dir();
  const fs::path root = real_root(where);
  REMORA_TRY(const unique_fd lock, lock_worktrees(common_dir, {}));
  std::error_code ec;
  const bool there = fs::symlink_status(root, ec).type() != fs::file_type::not_found;
  REMORA_TRY(const bool made, was_made(common_dir, root));
  if (!made && !there) return {};
  if (!branch.empty()) {
    REMORA_TRY(const bool others, is_made_for_another(repo, root, branch));
    if (others) return {};
  }
  if (!made) {
    return fail(errc::repository,
                fmt::format("{} was not made by remora: it is left alone", to_utf8(root.string())));
  }
  auto removed = remove_parts(common_dir, root);
  if (!removed)
    return within("cannot remove the worktree " + to_utf8(root.string()), removed.error());
  return {};
}

result<bool> remove_half_made(const repository& repo, const fs::path& where) {
  std::stop_source at_once;  // who makes it, a git that outlived its remora included, has the lock
  at_once.request_stop();
  const auto lock = lock_worktrees(repo.common_dir(), at_once.get_token());
  if (!lock) return lock.error().is(errc::stopped) ? result<bool>(false) : lock.error();
  if (!is_half_made(repo.common_dir(), where)) return false;
  REMORA_CHECK(remove_parts(repo.common_dir(), real_root(where)));
  return true;
}

result<void> remove_broken_entry(const repository& repo, const fs::path& entry) {
  REMORA_TRY(const unique_fd lock, lock_worktrees(repo.common_dir(), {}));
  REMORA_TRY(const unique_fd entries, open_file(entry.parent_path(), O_RDONLY | O_DIRECTORY));
  return remove_tree(entries.get(), entry.filename().string());
}

std::vector<emptied_entry> emptied_entries(const repository& repo) {
  std::vector<emptied_entry> found;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(repo.common_dir() / "worktrees", ec))
    if (!is_in_the_making(entry.path()))
      if (auto emptied = find_emptied(repo.common_dir(), entry.path()))
        found.push_back(std::move(*emptied));
  return found;
}

result<bool> remove_emptied_entry(const repository& repo, const fs::path& git_dir) {
  REMORA_TRY(const unique_fd lock, lock_worktrees(repo.common_dir(), {}));
  if (is_in_the_making(git_dir) || !find_emptied(repo.common_dir(), git_dir)) return false;
  REMORA_CHECK(remove_entry(repo.common_dir(), git_dir));
  return true;
}

result<std::vector<std::string>> remove_stale_locks(const repository& repo, const worktree& tree,
                                                    const std::string& branch) {
  std::vector<std::string> removed;
  auto dir = open_directory(AT_FDCWD, tree.git_dir.string());
  if (!dir && !says_gone(dir.error())) return dir.error();
  if (!dir) return gone(tree.root, dir.error().what);
  name_list names;
  REMORA_CHECK(names.read(dir->get()));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name(names.name(i));
    if (!name.ends_with(".lock")) continue;
    REMORA_TRY(const bool was_there, remove_lock(dir->get(), name));
    if (was_there) removed.push_back(name);
  }
  REMORA_TRY(const bool was_locked, remove_branch_lock(repo.common_dir(), branch));
  if (was_locked) removed.push_back(branch + ".lock");
  return removed;
}

}  // namespace remora::git

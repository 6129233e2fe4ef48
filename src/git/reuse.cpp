#include <remora/git/reuse.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <remora/core/text.hpp>

#include "git/careful.hpp"
#include "git/handles.hpp"
#include "git/remove_tree.hpp"
#include "git/scanner.hpp"
#include "git/used_files.hpp"
#include "git/worktree_books.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view heads = "refs/heads/";

error unfit(std::string_view why) {
  return fail(errc::unsupported, fmt::format("a used worktree cannot become a new one: {}", why));
}

bool is_set(git_config* config, const char* name, bool otherwise) {
  int value = 0;
  if (git_config_get_bool(&value, config, name) == 0) return value != 0;
  git_error_clear();
  return otherwise;
}

/// Whether a checkout does no more than to write the objects' bytes, with the umask's permissions,
/// of all paths; what `.gitattributes` say is looked at on the way.
result<void> check_plain(const repository& repo) {
  const conversions convert = conversions::of(repo);
  if (convert.everywhere) return unfit("a checkout converts files, as the configuration says");
  git_config* raw = nullptr;
  if (const int code = git_repository_config_snapshot(&raw, repo.raw()); code != 0)
    return git_failure(code, "cannot read the configuration");
  const config_handle config(raw);
  const char* text = nullptr;
  const bool eol = git_config_get_string(&text, raw, "core.eol") == 0;
  if (eol && std::string_view(text) == "crlf") return unfit("core.eol is crlf");
  for (const char* key : {"core.sharedRepository", "core.worktree"})
    if (git_config_get_string(&text, raw, key) == 0) return unfit(fmt::format("{} is set", key));
  git_error_clear();
  if (is_set(raw, "core.sparseCheckout", false)) return unfit("core.sparseCheckout is set");
  if (is_set(raw, "extensions.worktreeConfig", false))
    return unfit("worktrees have configurations of their own");
  if (!is_set(raw, "core.symlinks", true)) return unfit("core.symlinks is off");
  return {};
}

/// The very file that git made: an agent may have put another one in its place (C2).
result<void> check_gitfile(int root, const worktree& tree) {
  REMORA_TRY(const std::string text, read_regular(root, ".git", 8 << 10));
  struct stat st{};
  if (::fstatat(root, ".git", &st, AT_SYMLINK_NOFOLLOW) != 0) return os_error(errno, ".git");
  if (text != fmt::format("gitdir: {}\n", tree.git_dir.string()) || st.st_nlink != 1 ||
      st.st_uid != ::geteuid())
    return unfit("its .git is not as git made it");
  return {};
}

result<void> write_new(int dir, const std::string& name, std::string_view bytes) {
  REMORA_TRY(const unique_fd fd, open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0666));
  return write_all(fd.get(), bytes);
}

/// Git's directory of a worktree in the making, `<common dir>/remora/removed-worktree` until it is
/// exchanged with the old one.
struct new_entry {
  unique_fd above;  ///< `<common dir>/remora`
  unique_fd dir;
  mode_t mask = 0;  ///< the permissions that the umask leaves

  /// As `git worktree add --lock` writes it (gitrepository-layout(5)).
  static result<new_entry> make(const fs::path& common_dir, const fs::path& root,
                                const std::string& branch) {
    new_entry made;
    REMORA_TRY(made.above, open_file(common_dir / "remora", O_RDONLY | O_DIRECTORY));
    REMORA_CHECK(remove_tree(made.above.get(), entry_aside));
    if (::mkdirat(made.above.get(), entry_aside, 0777) != 0)
      return os_error(errno, "cannot make git's entry of a worktree");
    REMORA_TRY(made.dir, open_directory(made.above.get(), entry_aside));
    struct stat st{};
    if (::fstat(made.dir.get(), &st) != 0) return os_error(errno, "cannot stat a new directory");
    made.mask = st.st_mode & 0777;
    const std::string name = branch.substr(heads.size());
    REMORA_CHECK(write_new(made.dir.get(), "locked", name + '\n'));
    REMORA_CHECK(write_new(made.dir.get(), "gitdir", (root / ".git").string() + '\n'));
    REMORA_CHECK(write_new(made.dir.get(), "commondir", "../..\n"));
    REMORA_CHECK(write_new(made.dir.get(), "HEAD", fmt::format("ref: {}\n", branch)));
    return made;
  }

  /// In one step: the worktree is the old one's, or the new one's.
  result<void> exchange(const fs::path& old) const {
    if (::renameat2(above.get(), entry_aside, AT_FDCWD, old.c_str(), RENAME_EXCHANGE) != 0)
      return os_error(errno, "cannot exchange git's entry of a worktree");
    return remove_tree(above.get(), entry_aside);
  }
};

/// The files, and the index of them in the new entry.
result<void> fill(const repository& repo, int root, const new_entry& entry, const snapshotter& used,
                  const oid& commit, std::stop_token stop) {
  struct stat st{}, above{};
  if (::fstat(root, &st) != 0 || ::fstatat(root, "..", &above, 0) != 0)
    return os_error(errno, "cannot stat the worktree");
  if (has_attributes(root, ".", attributes_of(root, "..")) ||
      (st.st_gid != ::getegid() && st.st_gid != above.st_gid))
    return unfit("its directory has attributes, or another group");
  const mode_t as_reserved = 0700 | (st.st_mode & S_ISGID);
  if ((st.st_mode & 07777) != as_reserved && ::fchmod(root, as_reserved) != 0)
    return os_error(errno, "cannot change the worktree's permissions");
  REMORA_TRY(const commit_info wanted, repo.read_commit(commit));
  new_index index;
  REMORA_CHECK(replace_used_files(repo, root, wanted.tree, used.files(), entry.mask, index,
                                  std::move(stop)));
  return write_new(entry.dir.get(), "index", std::move(index).finish());
}

}  // namespace

result<void> set_aside(const repository& repo, const worktree& tree, const std::string& branch) {
  REMORA_TRY(const unique_fd lock, lock_worktrees(repo.common_dir(), {}));
  REMORA_TRY(const bool others, is_made_for_another(repo, tree.root, branch));
  if (others)
    return fail(errc::vanished, fmt::format("{} is another task's", to_utf8(tree.root.string())));
  REMORA_CHECK(check_worktree(tree));
  return note_made(repo.common_dir(), tree.root, making::begun);
}

result<worktree> reuse_worktree(repository& repo, const snapshotter& used,
                                const std::string& branch, const oid& commit,
                                std::stop_token stop) {
  const fs::path& common_dir = repo.common_dir();
  const worktree& tree = used.tree();
  REMORA_TRY(const unique_fd lock, lock_worktrees(common_dir, stop));
  if (!is_half_made(common_dir, tree.root)) return unfit("somebody has removed it meanwhile");
  REMORA_CHECK(check_worktree(tree));
  REMORA_CHECK(check_plain(repo));
  REMORA_TRY(const unique_fd root, open_file(tree.root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  REMORA_CHECK(check_gitfile(root.get(), tree));
  REMORA_TRY(const new_entry entry, new_entry::make(common_dir, tree.root, branch));
  REMORA_CHECK(fill(repo, root.get(), entry, used, commit, std::move(stop)));
  REMORA_TRY(const std::optional<oid> tip, repo.read_ref(branch));
  if (tip && *tip != commit)
    return fail(errc::ref_moved, fmt::format("the branch {} exists already", to_utf8(branch)));
  if (!tip) REMORA_CHECK(repo.swap_ref(branch, oid(), commit));
  REMORA_CHECK(entry.exchange(tree.git_dir));
  REMORA_CHECK(note_made(common_dir, tree.root, making::done));
  return tree;
}

}  // namespace remora::git

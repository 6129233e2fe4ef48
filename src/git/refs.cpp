// Refs: by compare-and-swap and durable on return, but for those that are derived from others.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>
#include <remora/git/ref_log.hpp>

#include "git/repository_impl.hpp"
#include "git/wait.hpp"

namespace remora::git {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds lock_patience{1000};
constexpr milliseconds git_patience{10'000};

/// Writers of one ref must not meet again at the same moment.
milliseconds jitter() {
  thread_local std::minstd_rand random(std::random_device{}());
  return milliseconds(std::uniform_int_distribution<int>(2, 25)(random));
}

/// A `git pack-refs` removes directories that it has emptied, also those that libgit2 is making.
bool lost_its_directory(int code) {
  const git_error* last = code == GIT_ERROR ? git_error_last() : nullptr;
  return last && last->klass == GIT_ERROR_OS && last->message &&
         std::string_view(last->message).ends_with(std::strerror(ENOENT));
}

/// Calls `attempt` until it says something other than that somebody is in its way, for at most a
/// second; each time only if `guard` allows it. `ref`: the file of what it changes.
template <class Attempt>
result<int> while_locked(const std::function<result<void>()>& guard,
                         const std::filesystem::path& ref, Attempt attempt) {
  const std::filesystem::path lock = ref.string() + ".lock";
  const auto until = steady_clock::now() + lock_patience;
  for (;;) {
    if (guard) REMORA_CHECK(guard());
    std::error_code ignored;
    const bool was_free = !std::filesystem::exists(lock, ignored);
    const int code = attempt();
    // Libgit2 unlinks its lock once, and does not look whether that worked; and it says GIT_ELOCKED
    // for EACCES, too.
    if (was_free) (void)remove_left_lock(lock);
    const bool again = code == GIT_ELOCKED || lost_its_directory(code);
    if (!again || steady_clock::now() >= until) return code;
    pause_for(jitter());
  }
}

/// 0 and the target (zero: no such ref), or libgit2's error.
int lookup(git_repository* repo, const std::string& name, oid& target, reference_handle* out) {
  git_reference* raw = nullptr;
  const int got = git_reference_lookup(&raw, repo, name.c_str());
  reference_handle ref(raw);
  target = oid();
  if (got == GIT_ENOTFOUND) {
    git_error_clear();
    return 0;
  }
  if (got != 0) return got;
  const git_oid* direct = git_reference_target(raw);
  if (direct == nullptr) {
    git_error_set_str(GIT_ERROR_REFERENCE, "it is a symbolic ref");
    return GIT_EINVALID;
  }
  target = from_git(*direct);
  if (out) *out = std::move(ref);
  return 0;
}

/// The ref whose name is a directory of `name`, or below which `name` would be one (G5).
std::string clashing_ref(const repository& repo, const std::string& name) {
  for (std::size_t slash = name.find('/', 5); slash != name.npos;
       slash = name.find('/', slash + 1)) {
    const std::string above = name.substr(0, slash);
    oid target;
    if (lookup(repo.raw(), above, target, nullptr) == 0 && !target.is_zero()) return above;
  }
  if (auto below = repo.list_refs(name + "/"); below && !below->empty()) return below->front().name;
  return {};
}

error clash(const std::string& name, const std::string& existing) {
  constexpr std::string_view heads = "refs/heads/";
  if (existing.starts_with(heads)) {
    const std::string branch = to_utf8(existing.substr(heads.size()));
    return fail(errc::repository,
                fmt::format("your branch '{}' is in the way of {}, which git keeps as a directory: "
                            "rename it, for example `git branch -m {} {}-other`",
                            branch, to_utf8(name), branch, branch));
  }
  return fail(errc::repository, fmt::format("the ref {} is in the way of {}: rename or delete it",
                                            to_utf8(existing), to_utf8(name)));
}

error moved(const std::string& name, const oid& from) {
  return fail(errc::ref_moved,
              from.is_zero() ? fmt::format("{} exists already", to_utf8(name))
                             : fmt::format("{} is no longer at {}", to_utf8(name), from.hex()));
}

error swap_failure(const repository& repo, int code, const std::string& name, const oid& from) {
  if (code == GIT_EMODIFIED || code == GIT_ENOTFOUND || code == GIT_EEXISTS) {
    git_error_clear();
    return moved(name, from);
  }
  error e = git_failure(code, fmt::format("cannot change {}", to_utf8(name)));
  if (code == GIT_ELOCKED)
    return fail(errc::repository,
                fmt::format("{}; if no git is running, remove that lock file", e.what));
  if (const std::string existing = clashing_ref(repo, name); !existing.empty())
    return clash(name, existing);
  return e;
}

/// libgit2 syncs the directory of the ref, but none of those that it had to make above it.
result<void> sync_ancestors(const std::filesystem::path& common_dir, const std::string& name) {
  const std::filesystem::path ref(name);
  std::filesystem::path at = common_dir;
  for (const std::filesystem::path& part : ref.parent_path()) {
    at /= part;
    std::error_code gone;
    if (!std::filesystem::is_directory(at, gone)) break;  // pruned again, or all packed
    REMORA_CHECK(sync_directory(at));
  }
  return {};
}

/// As git does it unless it is told to sync: whole or not at all, while the power stays on.
result<void> write_unsynced(const std::filesystem::path& file, const std::string& text) {
  const std::string lock = file.string() + ".lock";
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  auto fd = open_file(lock, flags, 0666);
  if (!fd && fd.error().is_errno(ENOENT)) {
    std::error_code ignored;  // git may remove them again: they are empty
    std::filesystem::create_directories(file.parent_path(), ignored);
    fd = open_file(lock, flags, 0666);
  }
  if (!fd) return fd.error();
  auto written = write_all(fd->get(), text);
  if (written && ::rename(lock.c_str(), file.c_str()) != 0)
    written = os_error(errno, fmt::format("cannot make {}", to_utf8(file.string())));
  if (!written) ::unlink(lock.c_str());
  return written;
}

/// libgit2 takes the lock of packed-refs only after it has read them: of two that delete at once,
/// one puts back what the other has deleted. So ours wait for each other.
result<unique_fd> lock_deletions(const std::filesystem::path& common_dir) {
  REMORA_CHECK(make_directories(common_dir / "remora", 0700));
  REMORA_TRY(unique_fd lock,
             open_file(common_dir / "remora" / "deletions", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return os_error(errno, "cannot lock the deletion of refs");
  return lock;
}

result<bool> is_packed(const std::filesystem::path& common_dir, const std::string& name) {
  const auto packed = read_file(common_dir / "packed-refs");
  if (packed) return packed->find(" " + name + "\n") != packed->npos;
  return packed.error().is_errno(ENOENT) ? result<bool>(false) : packed.error();
}

/// By git, which reads packed-refs under its lock. libgit2 writes what it read before: a branch of
/// the user's that his `git pack-refs` moved there in between would be gone.
result<void> delete_packed(const repository& repo, const std::string& name, const oid& from) {
  REMORA_TRY(const std::optional<oid> holds, repo.read_ref(name));
  if (!holds) return {};
  if (*holds != from) return moved(name, from);
  REMORA_TRY(const command_output done,
             run_git(repo.common_dir(),
                     {"-c", "core.fsync=reference", "-c", "core.filesRefLockTimeout=1000",
                      "update-ref", "--no-deref", "-d", name, from.hex()},
                     git_patience));
  if (done.status.success()) return sync_directory(repo.common_dir());
  return fail(done.killed() ? errc::killed : errc::repository,
              fmt::format("cannot delete {}: {}", to_utf8(name), one_line(done.why(), 300)));
}

}  // namespace

result<bool> remove_left_lock(const std::filesystem::path& lock) {
  struct stat left{}, now{};
  if (::lstat(lock.c_str(), &left) != 0) return false;
  const auto patient_until = steady_clock::now() + lock_patience;
  const auto until = patient_until + lock_patience;
  while (::lstat(lock.c_str(), &now) == 0) {
    if (now.st_ino != left.st_ino || now.st_ctim.tv_sec != left.st_ctim.tv_sec ||
        now.st_ctim.tv_nsec != left.st_ctim.tv_nsec)
      return false;
    if (steady_clock::now() >= patient_until && ::unlink(lock.c_str()) == 0) return true;
    if (steady_clock::now() >= until)
      return os_error(errno, fmt::format("cannot remove the stale {}", to_utf8(lock.string())));
    pause_for(jitter());
  }
  return false;
}

result<void> remove_ref_log(const repository& repo, const std::string& name) {
  const std::filesystem::path log = repo.common_dir() / "logs" / name;
  if (::unlink(log.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return {};
  return os_error(errno, fmt::format("cannot remove {}", to_utf8(log.string())));
}

result<std::optional<oid>> repository::read_ref(const std::string& name) const {
  oid target;
  int got = lookup(raw(), name, target, nullptr);
  if (got == 0 && target.is_zero()) {
    // libgit2 takes packed refs that it cannot stat for none (git_futils_filestamp_check).
    struct stat st{};
    if (::stat((impl_->common_dir / "packed-refs").c_str(), &st) == 0)
      got = lookup(raw(), name, target, nullptr);
    else if (errno != ENOENT)
      return os_error(errno, "cannot look for packed-refs");
  }
  if (got != 0)
    return git_failure(got, fmt::format("cannot read {}", to_utf8(name)), errc::corrupt);
  if (target.is_zero()) return std::optional<oid>();
  return std::optional(target);
}

result<std::vector<ref_info>> repository::list_refs(const std::string& prefix) const {
  // A glob of libgit2 treats `*?[` in the prefix as special; names are compared here instead.
  git_strarray names{};
  if (const int got = git_reference_list(&names, raw()); got != 0)
    return git_failure(got, "cannot list the refs");
  std::vector<std::string> wanted;
  for (std::size_t i = 0; i < names.count; ++i)
    if (std::string_view(names.strings[i]).starts_with(prefix))
      wanted.emplace_back(names.strings[i]);
  git_strarray_dispose(&names);
  std::sort(wanted.begin(), wanted.end());
  std::vector<ref_info> refs;
  for (std::string& name : wanted) {
    REMORA_TRY(const std::optional<oid> target, read_ref(name));
    if (target) refs.push_back({std::move(name), *target});  // deleted since it was listed
  }
  return refs;
}

void repository::guard_refs(std::function<result<void>()> allowed) {
  impl_->may_change_refs = std::move(allowed);
}

result<void> repository::swap_ref(const std::string& name, const oid& from, const oid& to) {
  const git_oid old_id = to_git(from);
  const git_oid new_id = to_git(to);
  std::error_code ignored;
  const bool makes_directories =
      !std::filesystem::exists((impl_->common_dir / name).parent_path(), ignored);
  REMORA_TRY(const int swapped, while_locked(impl_->may_change_refs, impl_->common_dir / name, [&] {
               (void)exists(to);  // libgit2 wants to find it, and looks once
               git_reference* raw_ref = nullptr;
               const int code = git_reference_create_matching(&raw_ref, raw(), name.c_str(),
                                                              &new_id, 1, &old_id, "remora");
               git_reference_free(raw_ref);
               return code;
             }));
  if (swapped != 0) return swap_failure(*this, swapped, name, from);
  if (makes_directories) return sync_ancestors(impl_->common_dir, name);
  return {};
}

result<void> repository::set_derived_ref(const std::string& name, const oid& to) {
  const std::filesystem::path file = impl_->common_dir / name;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored))
    if (const std::string existing = clashing_ref(*this, name); !existing.empty())
      return clash(name, existing);
  result<void> written;
  const auto write = [&] {
    written = write_unsynced(file, to.hex() + "\n");
    if (written) return 0;
    return static_cast<int>(written.error().is_errno(EEXIST) ? GIT_ELOCKED : GIT_ERROR);
  };
  REMORA_TRY(const int code, while_locked(impl_->may_change_refs, file, write));
  if (code == GIT_ELOCKED)
    return fail(errc::repository, fmt::format("{} is locked; if no git is running, remove {}.lock",
                                              to_utf8(name), to_utf8(file.string())));
  return written;
}

result<std::optional<oid>> repository::read_or_delete_ref(const std::string& name, bool* deleted) {
  auto read = read_ref(name);
  const bool unreadable = !read && read.error().is(errc::corrupt);
  if (deleted) *deleted = unreadable;
  if (!unreadable) return read;
  REMORA_TRY(const unique_fd alone, lock_deletions(impl_->common_dir));
  REMORA_TRY(const int removed, while_locked(impl_->may_change_refs, impl_->common_dir / name, [&] {
               return git_reference_remove(raw(), name.c_str());
             }));
  if (removed != 0) return swap_failure(*this, removed, name, oid());
  REMORA_CHECK(sync_ancestors(impl_->common_dir, name));
  return read_ref(name);
}

result<void> repository::delete_ref(const std::string& name, const oid& from) {
  REMORA_TRY(const unique_fd alone, lock_deletions(impl_->common_dir));
  REMORA_TRY(const bool packed, is_packed(impl_->common_dir, name));
  if (packed) {
    if (impl_->may_change_refs) REMORA_CHECK(impl_->may_change_refs());
    REMORA_CHECK(delete_packed(*this, name, from));
    return sync_ancestors(impl_->common_dir, name);
  }
  oid target;
  REMORA_TRY(const int deleted, while_locked(impl_->may_change_refs, impl_->common_dir / name, [&] {
               reference_handle ref;
               const int got = lookup(raw(), name, target, &ref);
               if (got != 0 || target.is_zero()) return got;
               return target == from ? git_reference_delete(ref.get())
                                     : static_cast<int>(GIT_EMODIFIED);
             }));
  if (deleted == GIT_ENOTFOUND) {
    git_error_clear();  // somebody else was faster
    return {};
  }
  if (deleted != 0) return swap_failure(*this, deleted, name, from);
  return sync_ancestors(impl_->common_dir, name);
}

}  // namespace remora::git

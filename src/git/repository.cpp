#include "git/repository_impl.hpp"

#include <fmt/format.h>
#include <git2/sys/repository.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>

#include "git/pack_files.hpp"

namespace remora::git {
namespace {

std::filesystem::path directory(const char* text) {
  std::string path = text;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

error cannot_open(int code, const std::filesystem::path& path) {
  const std::string shown = to_utf8(path.string());
  error e = git_failure(code, fmt::format("cannot open the repository at {}", shown));
  // libgit2 1.5.1 says instead of GIT_EOWNER that the setting which would allow it is not found.
  const bool foreign = code == GIT_EOWNER || e.what.find("safe.directory") != e.what.npos;
  if (foreign)
    e = fail(errc::repository,
             fmt::format("the repository at {} belongs to another user: if you trust it, run `git "
                         "config --global --add safe.directory {}`",
                         shown, shown));
  else if (code == GIT_ENOTFOUND)
    e = fail(errc::repository,
             fmt::format("no git repository at or above {}: run `git init` and commit there, or "
                         "name another directory",
                         shown));
  else if (e.what.find("unsupported extension") != std::string::npos)
    e.what +=
        " (remora cannot work in such a repository; `git config --unset` it, or clone anew "
        "without it)";
  return e;
}

/// The value of a configuration key, or an empty string.
std::string config_text(git_config* config, const char* key) {
  git_buf value = GIT_BUF_INIT;
  std::string text;
  if (git_config_get_string_buf(&value, config, key) == 0) text.assign(value.ptr, value.size);
  git_buf_dispose(&value);
  return text;
}

/// libgit2 reports the files that a sparse checkout left out as deleted.
bool is_skipped(git_repository* repo, const git_status_entry& entry) {
  if (entry.status != GIT_STATUS_WT_DELETED) return false;
  git_index* index = nullptr;
  if (git_repository_index(&index, repo) != 0) return false;
  const index_handle owner(index);
  const git_index_entry* found =
      git_index_get_bypath(index, entry.index_to_workdir->old_file.path, 0);
  return found && (found->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0;
}

/// As git says, where libgit2 refuses the index: a split or a sparse one (G20).
result<std::vector<std::string>> dirty_by_git(const std::filesystem::path& work_dir,
                                              std::size_t limit) {
  constexpr std::chrono::minutes deadline{1};
  REMORA_TRY(
      const command_output said,
      run_git(work_dir, {"status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all"},
              deadline));
  if (!said.status.success())
    return fail(errc::repository, "cannot compare the checkout with HEAD: " + said.why());
  constexpr std::size_t status_letters = 3;  // with the blank after them
  std::vector<std::string> paths;
  for (const std::string_view entry : split(said.out, '\0'))
    if (entry.size() > status_letters && paths.size() < limit)
      paths.emplace_back(entry.substr(status_letters));
  return paths;
}

timespec time_of_removal(const std::filesystem::path& common_dir) {
  struct stat st{};
  return ::stat(removal_mark(common_dir).c_str(), &st) == 0 ? st.st_mtim : timespec{};
}

}  // namespace

result<repository_impl> open_repository(const std::filesystem::path& path, unsigned flags) {
  initialise();
  git_repository* raw = nullptr;
  const int opened = git_repository_open_ext(&raw, path.c_str(), flags, nullptr);
  if (opened != 0) return cannot_open(opened, path);
  return opened_repository(raw, path);
}

result<repository_impl> opened_repository(git_repository* raw, const std::filesystem::path& path) {
  repository_impl impl;
  impl.repo.reset(raw);
  // The reflog's author; otherwise libgit2 looks for the user's name each time.
  git_repository_set_ident(raw, "remora", "remora@localhost");
  git_odb* odb = nullptr;
  if (const int got = git_repository_odb(&odb, raw); got != 0) return cannot_open(got, path);
  impl.odb.reset(odb);
  REMORA_CHECK(read_unpublished(odb, impl.pending));
  impl.common_dir = directory(git_repository_commondir(raw));
  impl.removed = time_of_removal(impl.common_dir);
  impl.git_dir = directory(git_repository_path(raw));
  if (const char* dir = git_repository_workdir(raw)) impl.work_dir = directory(dir);
  return impl;
}

result<void> open_objects_again(repository_impl& repo) {
  git_odb* raw = nullptr;
  const std::filesystem::path objects = repo.common_dir / "objects";
  if (const int code = git_odb_open(&raw, objects.c_str()); code != 0)
    return git_failure(code, "cannot open the object database again");
  odb_handle odb(raw);
  REMORA_CHECK(read_unpublished(raw, repo.pending));
  git_repository__cleanup(repo.repo.get());  // nothing else empties its cache
  if (const int code = git_repository_set_odb(repo.repo.get(), raw); code != 0)
    return git_failure(code, "cannot change the object database");
  repo.odb = std::move(odb);
  return {};
}

std::filesystem::path removal_mark(const std::filesystem::path& common_dir) {
  return common_dir / "remora" / "removed";
}

result<void> let_go_of_gone_packs(repository_impl& repo) {
  std::vector<std::string> now;
  for (our_files& files : list_our_packs(repo.common_dir / "objects" / "pack"))
    if (files.pack && files.index) now.push_back(std::move(files.stem));
  const timespec removed = time_of_removal(repo.common_dir);
  // Of what was removed libgit2 may have found a pack that we have never listed.
  const bool gone = !std::ranges::includes(now, repo.our_packs) || !is_same(removed, repo.removed);
  if (gone) REMORA_CHECK(open_objects_again(repo));
  repo.removed = removed;
  repo.our_packs = std::move(now);
  return {};
}

signature remora_signature(std::int64_t seconds) {
  return {"remora", "remora@localhost", seconds, 0};
}

repository::repository(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
repository::repository(repository&&) noexcept = default;
repository& repository::operator=(repository&&) noexcept = default;
repository::~repository() = default;

result<repository> repository::discover(const std::filesystem::path& path) {
  REMORA_TRY(repository_impl opened, open_repository(path, 0));
  return repository(std::make_unique<impl>(std::move(opened)));
}

result<repository> repository::reopen() const {
  REMORA_TRY(repository_impl opened,
             open_repository(impl_->git_dir, GIT_REPOSITORY_OPEN_NO_SEARCH));
  return repository(std::make_unique<impl>(std::move(opened)));
}

result<repository> repository::reopen_bare() const {
  // Not `git_repository_open_ext`: that asks again whose it is, and of `safe.directory` by another
  // path. We have opened it.
  git_repository* raw = nullptr;
  const int code = git_repository_open_bare(&raw, impl_->common_dir.c_str());
  if (code != 0) return cannot_open(code, impl_->common_dir);
  REMORA_TRY(repository_impl opened, opened_repository(raw, impl_->common_dir));
  return repository(std::make_unique<impl>(std::move(opened)));
}

const std::filesystem::path& repository::common_dir() const noexcept {
  return impl_->common_dir;
}
const std::filesystem::path& repository::git_dir() const noexcept {
  return impl_->git_dir;
}
const std::optional<std::filesystem::path>& repository::work_dir() const noexcept {
  return impl_->work_dir;
}
void repository::trust_only(std::map<std::string, std::string> programs) {
  impl_->trusted = std::move(programs);
}
const std::optional<std::map<std::string, std::string>>& repository::trusted() const noexcept {
  return impl_->trusted;
}
git_repository* repository::raw() const noexcept {
  return impl_->repo.get();
}
git_odb* repository::odb() const noexcept {
  return impl_->odb.get();
}
repository_impl& repository::inside() noexcept {
  return *impl_;
}

std::string repository::name() const {
  const std::filesystem::path& dir = impl_->work_dir ? *impl_->work_dir : impl_->common_dir;
  std::string name = dir.filename().string();
  if (name == ".git") name = dir.parent_path().filename().string();
  if (name.size() > 4 && name.ends_with(".git")) name.resize(name.size() - 4);
  return name;
}

result<oid> repository::resolve_commit(std::string_view spec) const {
  const std::string text(spec);
  const auto unknown = [&](std::string_view why) {
    return fail(errc::usage, fmt::format("'{}' {} in {}", printable(text), why,
                                         to_utf8(impl_->common_dir.string())));
  };
  if (text.find('\0') != std::string::npos) return unknown("names no commit");
  git_object* raw = nullptr;
  const int parsed = git_revparse_single(&raw, impl_->repo.get(), text.c_str());
  const object_handle object(raw);
  if (parsed == GIT_EAMBIGUOUS) return unknown("names several objects: give more digits");
  if (parsed != 0) {
    git_error_clear();
    if (text == "HEAD" && git_repository_head_unborn(impl_->repo.get()) == 1)
      return unknown("is a branch without a commit: make the first commit");
    return unknown("names no commit");
  }
  git_object* peeled = nullptr;
  if (git_object_peel(&peeled, raw, GIT_OBJECT_COMMIT) != 0) {
    git_error_clear();
    return unknown(
        fmt::format("is a {}, not a commit", git_object_type2string(git_object_type(raw))));
  }
  const object_handle commit(peeled);
  return from_git(*git_object_id(peeled));
}

std::optional<std::string> repository::head_ref() const {
  git_reference* raw = nullptr;
  if (git_reference_lookup(&raw, impl_->repo.get(), "HEAD") != 0) return std::nullopt;
  const reference_handle head(raw);
  const char* target = git_reference_symbolic_target(raw);
  if (target == nullptr) return std::nullopt;
  return target;
}

signature repository::user_signature() const {
  git_config* raw_config = nullptr;
  git_signature* raw_now = nullptr;
  signature who = remora_signature(std::chrono::duration_cast<std::chrono::seconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count());
  // Only this knows the local offset from UTC.
  if (git_signature_now(&raw_now, who.name.c_str(), who.email.c_str()) == 0) {
    const signature_handle now(raw_now);
    who.offset_minutes = now->when.offset;
  }
  if (git_repository_config_snapshot(&raw_config, impl_->repo.get()) != 0) return who;
  const config_handle config(raw_config);
  std::string name = config_text(config.get(), "user.name");
  std::string email = config_text(config.get(), "user.email");
  if (!name.empty()) who.name = std::move(name);
  if (!email.empty()) who.email = std::move(email);
  return who;
}

result<std::vector<std::string>> repository::dirty_paths(std::size_t limit) const {
  std::vector<std::string> paths;
  if (!impl_->work_dir) return paths;
  git_status_options options{};
  git_status_options_init(&options, GIT_STATUS_OPTIONS_VERSION);
  options.flags = GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_EXCLUDE_SUBMODULES;
  git_status_list* raw = nullptr;
  const int listed = git_status_list_new(&raw, impl_->repo.get(), &options);
  git_error_clear();
  if (listed != 0) return dirty_by_git(*impl_->work_dir, limit);
  const status_handle status(raw);
  const std::size_t count = git_status_list_entrycount(raw);
  for (std::size_t i = 0; i < count && paths.size() < limit; ++i) {
    const git_status_entry& entry = *git_status_byindex(raw, i);
    const git_diff_delta* delta =
        entry.index_to_workdir ? entry.index_to_workdir : entry.head_to_index;
    if (!is_skipped(impl_->repo.get(), entry)) paths.emplace_back(delta->new_file.path);
  }
  return paths;
}

}  // namespace remora::git

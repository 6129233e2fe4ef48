#include "git/lfs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>

#include "git/careful.hpp"
#include "git/handles.hpp"

namespace remora::git {
namespace {

constexpr std::string_view version = "version https://git-lfs.github.com/spec/v1\n";
constexpr std::chrono::minutes patience{5};

/// The value of a line `key value` of a pointer; empty: it has none.
std::string_view value(std::string_view pointer, std::string_view key) {
  for (const std::string_view line : split(pointer, '\n'))
    if (line.starts_with(key) && line.substr(key.size()).starts_with(' '))
      return line.substr(key.size() + 1);
  return {};
}

}  // namespace

bool lfs::is_pointer(std::string_view bytes) {
  return bytes.size() < 1024 && bytes.starts_with(version);
}

std::filesystem::path lfs::store() const {
  std::filesystem::path place = "lfs";
  git_config* raw = nullptr;
  if (git_repository_config_snapshot(&raw, repo_->raw()) == 0) {
    const config_handle config(raw);
    const char* text = nullptr;
    if (git_config_get_string(&text, raw, "lfs.storage") == 0 && *text) place = text;
  }
  git_error_clear();
  return repo_->common_dir() / place;  // an absolute path stays what it is
}

result<std::optional<std::string>> lfs::file_of(std::string_view pointer) const {
  if (!is_pointer(pointer)) return std::optional<std::string>();
  constexpr std::string_view kind = "sha256:";
  const std::string_view id = value(pointer, "oid");
  const std::string_view digits = value(pointer, "size");
  std::uint64_t size = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  const bool known = parsed.ec == std::errc() && id.starts_with(kind) &&
                     id.size() == kind.size() + 64 && id.find('/') == id.npos &&
                     pointer.find("\next-") == pointer.npos;
  if (!known) return std::optional<std::string>();
  const auto root = open_file(store(), O_RDONLY | O_DIRECTORY);
  if (!root) return std::optional<std::string>();
  const std::string name(id.substr(kind.size()));
  const std::string path =
      fmt::format("objects/{}/{}/{}", name.substr(0, 2), name.substr(2, 2), name);
  auto bytes = read_regular(root->get(), path, std::numeric_limits<std::size_t>::max());
  if (!bytes && is_lack(bytes.error())) return bytes.error();
  if (!bytes || bytes->size() != size) return std::optional<std::string>();  // as git-lfs checks it
  return std::optional(std::move(*bytes));
}

result<std::string> lfs::pointer_of(const std::string& path, std::string_view bytes) {
  if (!checked_) {
    checked_ = true;
    if (auto fit = check_extensions(); !fit) unfit_ = fit.error();
  }
  if (unfit_) return *unfit_;
  auto pointer = clean(path, bytes);
  if (!pointer && pointer.error().is(errc::environment)) unfit_ = pointer.error();
  return pointer;
}

/// They are programs that git-lfs runs, and the configuration is an agent's to write.
result<void> lfs::check_extensions() const {
  REMORA_TRY(
      const command_output said,
      run_git(repo_->common_dir(), {"config", "--get-regexp", R"(^lfs\.extension\.)"}, patience));
  if (said.status.code == 1) return {};  // it found none
  if (!said.status.success()) return fail(errc::environment, "git config: " + said.why());
  return fail(errc::environment, "git-lfs has extensions here, which are programs");
}

result<std::string> lfs::clean(const std::string& path, std::string_view bytes) const {
  REMORA_TRY(const unique_fd input, make_input(bytes));
  REMORA_TRY(command_output done, run_git(repo_->common_dir(), {"lfs", "clean", "--", path},
                                          patience, {}, nullptr, &input));
  const bool missing = done.status.code == 1 && done.err.find("not a git command") != done.err.npos;
  if (missing) return fail(errc::environment, "git-lfs is not in PATH: install it");
  if (!done.status.success()) return fail(errc::repository, "git-lfs: " + done.why());
  if (!bytes.empty() && !is_pointer(done.out))
    return fail(errc::repository, "git-lfs did not give a pointer");
  return std::move(done.out);
}

result<void> lfs::sync() const {
  const std::filesystem::path place = store();
  const auto root = open_file(place, O_RDONLY | O_DIRECTORY);
  if (!root && root.error().is_errno(ENOENT)) return {};
  if (!root) return root.error();
  if (::syncfs(root->get()) != 0)
    return os_error(errno, fmt::format("cannot sync {}", to_utf8(place.string())));
  return {};
}

}  // namespace remora::git

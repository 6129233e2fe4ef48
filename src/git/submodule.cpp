#include "git/submodule.hpp"

#include <fcntl.h>

#include <remora/core/text.hpp>

#include "git/careful.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_head_bytes = 4096;
constexpr std::size_t max_packed_bytes = 64 << 20;

oid parse_id(std::string_view text) {
  const auto id = oid::parse(trim(text));
  return id ? *id : oid();
}

oid find_packed(int git_dir, std::string_view ref) {
  const auto packed = read_regular(git_dir, "packed-refs", max_packed_bytes);
  if (!packed) return {};
  for (const std::string_view line : split(*packed, '\n'))
    if (line.size() == 41 + ref.size() && line.substr(41) == ref)
      return parse_id(line.substr(0, 40));
  return {};
}

/// The part of a submodule's `gitdir:` below `modules/`, whichever repository's that is.
std::string name_below_modules(std::string_view pointer) {
  constexpr std::string_view key = "gitdir: ", modules = "/modules/";
  pointer = trim(pointer);
  if (!pointer.starts_with(key)) return {};
  const std::size_t at = pointer.find(modules);
  return at == pointer.npos ? std::string() : std::string(pointer.substr(at + modules.size()));
}

unique_fd open_git_dir(const repository& repo, const std::filesystem::path& git_dir, int dir) {
  if (auto own = open_directory(dir, ".git")) return std::move(*own);
  const auto pointer = read_regular(dir, ".git", max_head_bytes);
  const std::string name = pointer ? name_below_modules(*pointer) : std::string();
  if (name.empty()) return {};
  for (const auto& above : {git_dir, repo.common_dir()}) {
    const auto modules = open_file(above / "modules", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!modules) continue;
    if (auto found = open_beneath(modules->get(), name, O_RDONLY | O_DIRECTORY))
      return std::move(*found);
  }
  return {};
}

}  // namespace

oid read_head_of(int git_dir) {
  const auto head = read_regular(git_dir, "HEAD", max_head_bytes);
  if (!head) return {};
  constexpr std::string_view symbolic = "ref: ";
  const std::string_view text = trim(*head);
  if (!text.starts_with(symbolic)) return parse_id(text);
  const std::string ref(trim(text.substr(symbolic.size())));
  if (!ref.starts_with("refs/")) return {};
  if (const auto loose = read_regular(git_dir, ref, max_head_bytes)) return parse_id(*loose);
  return find_packed(git_dir, ref);
}

submodule_state read_submodule(const repository& repo, const std::filesystem::path& git_dir,
                               int dir) {
  submodule_state state;
  name_list names;
  if (!names.read(dir)) return state;
  for (std::size_t i = 0; i < names.size(); ++i)
    state.has_content = state.has_content || names.name(i) != ".git";
  if (const unique_fd own = open_git_dir(repo, git_dir, dir)) state.head = read_head_of(own.get());
  return state;
}

}  // namespace remora::git

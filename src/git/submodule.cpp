#include "git/submodule.hpp"

#include <fcntl.h>
#include <strings.h>

#include <algorithm>
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

/// What comes after `/modules/` in a `gitdir:`, whichever repository's that is; what is above a
/// repository may have that name, too.
std::vector<std::string> names_below_modules(std::string_view pointer) {
  constexpr std::string_view key = "gitdir: ", modules = "/modules/";
  pointer = trim(pointer);
  std::vector<std::string> names;
  if (!pointer.starts_with(key)) return names;
  for (std::size_t at = pointer.find(modules); at != pointer.npos;
       at = pointer.find(modules, at + 1))
    names.emplace_back(pointer.substr(at + modules.size()));
  return names;
}

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// The name of the variable that a line of a configuration, without blanks before it, sets.
std::string_view variable(std::string_view line) {
  return line.substr(0, line.find_first_of(" \t=#;"));
}

}  // namespace

unique_fd open_submodule_git_dir(const repository& repo, const std::filesystem::path& git_dir,
                                 int dir) {
  if (auto own = open_directory(dir, ".git")) return std::move(*own);
  const auto pointer = read_regular(dir, ".git", max_head_bytes);
  if (!pointer) return {};
  for (const auto& above : {git_dir, repo.common_dir()}) {
    const auto modules = open_file(above / "modules", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!modules) continue;
    for (const std::string& name : names_below_modules(*pointer))
      if (auto found = open_beneath(modules->get(), name, O_RDONLY | O_DIRECTORY))
        return std::move(*found);
  }
  return {};
}

std::string without_worktree(std::string_view config) {
  std::string kept;
  bool in_core = false, drops = false;
  while (!config.empty()) {
    const std::size_t end = config.find('\n');
    const std::string_view line = config.substr(0, end == config.npos ? end : end + 1);
    config.remove_prefix(line.size());
    const std::string_view text = trim(line);
    if (!drops && text.starts_with('['))
      in_core = same_word(trim(text.substr(1, text.find(']') - 1)), "core");
    drops = drops || (in_core && same_word(variable(text), "worktree"));
    if (!drops) kept += line;
    drops = drops && text.ends_with('\\');  // the value goes on in the next line
  }
  return kept;
}

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

result<submodule_state> read_submodule(const repository& repo, const std::filesystem::path& git_dir,
                                       int dir) {
  submodule_state state;
  name_list names;
  REMORA_CHECK(names.read(dir));
  state.has_content = names.size() > 0;
  if (const unique_fd own = open_submodule_git_dir(repo, git_dir, dir))
    state.head = read_head_of(own.get());
  return state;
}

}  // namespace remora::git

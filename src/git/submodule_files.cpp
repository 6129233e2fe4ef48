#include "git/submodule_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "git/submodule.hpp"

namespace remora::git {
namespace {

/// What was found in a submodule, by its path in the worktree.
void move_into(manifest& m, const std::string& submodule, manifest&& found) {
  const std::string prefix = submodule + '/';
  for (omission& o : found.left_out) m.left_out.push_back({prefix + o.path, std::move(o.reason)});
  for (nested_repository& n : found.nested) {
    n.path.insert(0, prefix);
    m.nested.push_back(std::move(n));
  }
  for (const submodule_files& s : found.submodules) m.submodules.push_back({prefix + s.path, {}});
  for (const std::string& path : found.empty_directories)
    m.empty_directories.push_back(prefix + path);
}

/// The path that is left of one that is below `prefix`; nothing where it is not.
std::optional<std::string> rest_of(const std::string& path, const std::string& prefix) {
  if (!path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

}  // namespace

result<void> take_submodules(const repository& repo, content_sink& sink, int root,
                             const std::filesystem::path& git_dir, const scan_rules& rules,
                             std::uint32_t number, const std::stop_token& stop, nested_cache& known,
                             manifest& m) {
  nested_cache now;
  std::vector<submodule_files> taken;
  for (std::size_t i = 0; i < m.submodules.size(); ++i) {  // those within it join at the end
    const std::string path = m.submodules[i].path;
    const auto dir = open_beneath(root, path, O_RDONLY | O_DIRECTORY);
    if (!dir && is_lack(dir.error())) return dir.error();
    if (!dir) {
      if (!dir.error().is_errno(ENOENT)) m.left_out.push_back({path, std::string(unreadable)});
      continue;
    }
    const unique_fd own = open_submodule_git_dir(repo, git_dir, dir->get());
    index_view index;
    if (own) {
      REMORA_TRY(index, index_view::read(own.get()));
    }
    const shared_rules ignore = own ? rules.ignore->in_submodule(own.get()) : *rules.ignore;
    scan_rules how = rules;
    how.ignore = &ignore;
    how.keep_skipped = false;  // what is not there has no object here: its own index names it
    how.faults = nullptr;      // their paths are of the worktree
    const auto before = known.find(path);
    scanner walk(repo, sink, index, how, number, stop);
    REMORA_TRY(scan_result scanned,
               walk.run(dir->get(), git_dir,
                        before == known.end() ? scanner::base_root(oid()) : before->second));
    submodule_files files{path, scanned.root->tree};
    if (files.files.is_zero()) {
      REMORA_TRY(files.files, sink.tree({}));
    }
    taken.push_back(std::move(files));
    now.emplace(path, std::move(scanned.root));
    m.nested.push_back({path, {}, {}, {}});
    move_into(m, path, std::move(scanned.manifest));
  }
  m.submodules = std::move(taken);
  std::ranges::sort(m.submodules);
  std::ranges::sort(m.nested);
  std::ranges::sort(m.empty_directories);
  known = std::move(now);
  return {};
}

manifest below(const manifest& m, const std::string& directory) {
  const std::string prefix = directory + '/';
  manifest found;
  for (const omission& o : m.left_out)
    if (auto path = rest_of(o.path, prefix)) found.left_out.push_back({*path, o.reason});
  for (nested_repository n : m.nested)
    if (auto path = rest_of(n.path, prefix)) {
      n.path = std::move(*path);
      found.nested.push_back(std::move(n));
    }
  for (const submodule_files& s : m.submodules)
    if (auto path = rest_of(s.path, prefix)) found.submodules.push_back({*path, s.files});
  for (const std::string& empty : m.empty_directories)
    if (auto path = rest_of(empty, prefix)) found.empty_directories.push_back(std::move(*path));
  return found;
}

}  // namespace remora::git

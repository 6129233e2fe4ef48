// The git directories of repositories within a worktree (W5). To the walk over the worktree such a
// repository is a directory like any other; its `.git`, which no tree of git's can hold under that
// name, is taken beside it, file by file, and put back where it was. That of a submodule, which git
// keeps elsewhere, is put there too. Nothing of it is ever opened as a repository.
#pragma once

#include <filesystem>
#include <map>
#include <remora/git/restore.hpp>

#include "git/scanner.hpp"

namespace remora::git {

/// By the path of the repository: what is known of its git directory, or of a submodule's files.
using nested_cache = std::map<std::string, directory_ptr>;

/// Takes those whose paths are in `m.nested` into `sink`; `m` then says what they are, and what was
/// left out of them. One that changes during each of three looks is taken as it was last, and said
/// to be so; one that does not fit is left out as a whole. `git_dir`, `rules`: of the walk over the
/// worktree; the first has those of submodules. `known`: of the last snapshot, then of this one.
/// Errors: as of a scan.
result<void> take_nested(const repository& repo, content_sink& sink, int root,
                         const std::filesystem::path& git_dir, const scan_rules& rules,
                         std::uint32_t number, const std::stop_token& stop, nested_cache& known,
                         manifest& m);

/// Removes the git directories that are there (`now`) and that `wanted` neither has nor lists.
result<void> remove_other_nested(int root, const manifest& now, const manifest& wanted);

/// Makes them what `wanted` says. What cannot be put back is reported.
result<void> restore_nested(const repository& repo, int root, const manifest& wanted,
                            const std::stop_token& stop, restore_report& report);

}  // namespace remora::git

// The files of submodules (W6). A tree that has a submodule's commit cannot have its files, so they
// are a tree of their own. Read as the worktree's are, by the submodule's own index and ignore
// rules; its git directory is nested.hpp's.
#pragma once

#include <filesystem>

#include "git/nested.hpp"

namespace remora::git {

/// Takes those whose paths are in `m.submodules` into `sink`, and those within them; `m` then says
/// what they are, what was left out of them, and which repositories are in them. `rules` and
/// `git_dir`: of the walk over the worktree. `known`: of the last snapshot, then of this one.
/// Errors: as of a scan.
result<void> take_submodules(const repository& repo, content_sink& sink, int root,
                             const std::filesystem::path& git_dir, const scan_rules& rules,
                             std::uint32_t number, const std::stop_token& stop, nested_cache& known,
                             manifest& m);

/// The part of `m` that is below `directory`, with paths from there.
manifest below(const manifest& m, const std::string& directory);

}  // namespace remora::git

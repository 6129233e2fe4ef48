// The files of a used worktree, made those of a tree.
#pragma once

#include <remora/git/repository.hpp>
#include <set>
#include <stop_token>
#include <string>

#include "git/index_file.hpp"

namespace remora::git {

/// Makes what is in the directory `root` exactly the tree `wanted`, but for its `.git`; whatever is
/// ignored or cannot be in a tree goes, too. A file stays where `known`, the last scan's result,
/// says that it has the very bytes, nothing has touched it since, and it looks as a checkout makes
/// it. Adds an entry with its stat to the empty `index` for each. `mask`: the permissions that the
/// umask leaves. Errors: errc::unsupported for what a checkout would convert, errc::corrupt,
/// errc::stopped, errno.
result<void> replace_used_files(const repository& repo, int root, const oid& wanted,
                                const directory& known, mode_t mask, new_index& index,
                                std::stop_token stop);

/// Whether a `.gitattributes` of these bytes could make a checkout write other bytes than the
/// object's. Sees more than there is (a pattern that looks like an attribute), never less.
bool may_convert(std::string_view attributes);

/// Names of extended attributes, lists of access among them (xattr(7)); not those of the system's
/// security, which labels every file.
using attribute_names = std::set<std::string, std::less<>>;

/// Those of `name` in `dir`, which is not followed, and what it hands down; an empty name among
/// them: there are others.
attribute_names attributes_of(int dir, const std::string& name);

/// Whether it has others than `but`.
bool has_attributes(int dir, const std::string& name, const attribute_names& but);

}  // namespace remora::git

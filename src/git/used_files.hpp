// The files of a used worktree, made those of a tree.
#pragma once

#include <remora/git/repository.hpp>
#include <stop_token>

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

/// Whether a directory has extended attributes or an access control list (xattr(7)); those in the
/// name of the system's security are not anybody's who works in it.
bool has_attributes(int fd);

}  // namespace remora::git

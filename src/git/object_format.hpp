// The bytes of trees and commits (gitformat: a tree is `<mode> <name>\0<id>` sorted with
// directories as if their names ended in `/`), and the names of objects.
#pragma once

#include <git2.h>

#include <remora/git/repository.hpp>

namespace remora::git {

/// To a tree's bytes; entries come in the order of their names, a directory's ended by `/`.
void append_entry(std::string& tree, mode m, std::string_view name, const oid& id);
/// Errors: errc::usage (a name that git refuses, or one twice).
result<std::string> format_tree(std::vector<tree_entry> entries);
std::string format_commit(const oid& tree, std::span<const oid> parents, const signature& who,
                          std::string_view message);

/// Refuses the bytes of a known SHA-1 collision. Errors: errc::repository.
result<oid> hash_object(std::string_view bytes, git_object_t type);
/// The blob of all that is in a file. Errors: as above, errno.
result<oid> hash_file(int fd);

}  // namespace remora::git

// The bytes of trees and commits (gitformat: a tree is `<mode> <name>\0<id>` sorted with
// directories as if their names ended in `/`).
#pragma once

#include <remora/git/repository.hpp>

namespace remora::git {

/// Errors: errc::usage (a name that git refuses, or one twice).
result<std::string> format_tree(std::vector<tree_entry> entries);
std::string format_commit(const oid& tree, std::span<const oid> parents, const signature& who,
                          std::string_view message);

}  // namespace remora::git

// Differences between trees, for people and prompts. Renames are not searched for. Blocks.
#pragma once

#include <remora/git/repository.hpp>

namespace remora::git {

struct changed_file {
  std::string path;
  char status = 'M';  ///< A M D T
  std::uint64_t insertions = 0;
  std::uint64_t deletions = 0;
  bool binary = false;
};

struct diff_summary {
  std::vector<changed_file> files;
  std::uint64_t added = 0, modified = 0, deleted = 0, insertions = 0, deletions = 0;
};

/// Either side may be zero: the empty tree. Line counts cost reading both sides: `count_lines`
/// false skips it.
result<diff_summary> diff_trees(const repository& repo, const oid& from, const oid& to,
                                bool count_lines = true);

/// A unified diff, whole files in path order until `limit_bytes`; the first file that does not fit
/// is cut after a whole hunk line and `truncated` is set. Text is compared with CRLF read as LF.
struct diff_text {
  std::string text;
  bool truncated = false;
};
result<diff_text> diff_patch(const repository& repo, const oid& from, const oid& to,
                             std::size_t limit_bytes);

}  // namespace remora::git

// The tree that a task's result is made of: a checkpoint's files, as `git commit -a` would have
// stored them, without what must not travel.
#pragma once

#include <remora/git/manifest.hpp>
#include <remora/git/object_writer.hpp>

namespace remora::git {

struct result_rules {
  /// A new file over it is left out, but where git stores a pointer of git-lfs.
  std::uint64_t max_file_bytes = 10ull << 20;
};

struct result_tree {
  oid tree;
  std::vector<omission> left_out;  ///< `secret name`, `filter not run: …`, …
};

/// `files`: the checkpoint's tree; `head`: the commit the agent ended on. Paths equal to `head`'s
/// keep its object; new or changed ones are normalised as git does (`text`, `eol`; of filter
/// programs only git-lfs runs, by its name). New files with secret names (`.env*`, `*.pem`,
/// `*.key`, `id_rsa*`, …) are left out.
result<result_tree> make_result_tree(const repository& repo, object_writer& objects,
                                     const oid& files, const oid& head, const manifest& m,
                                     const result_rules& rules);

}  // namespace remora::git

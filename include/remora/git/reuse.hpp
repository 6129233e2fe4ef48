// A worktree that nobody needs any more becomes another task's, without git checking out every file
// again. Blocks; thread: git pool; under the lock of worktree.hpp.
#pragma once

#include <remora/git/snapshot.hpp>

namespace remora::git {

/// From here on the worktree is nobody's: whoever finds it after a crash takes it for a half-made
/// one, and removes it. Its work is elsewhere, and no process is left in it. `branch`: whose it is.
/// Errors: errc::vanished where it is another's, or not as git made it (then it stays as it is).
result<void> set_aside(const repository& repo, const worktree& tree, const std::string& branch);

/// Makes a worktree that was set aside what `add_worktree` gives for `branch` and `commit`: files,
/// modes, index, HEAD, and nothing else. `used` took its last snapshot: what is still as it was
/// then is not read. Git's directory of it is a new one, so nothing of what an agent put there
/// stays. Where it fails the worktree stays half-made: `remove_half_made`.
/// Errors: errc::unsupported (a checkout here does more than to write the objects' bytes: line
/// ends, filters, a sparse checkout), errc::ref_moved (the branch is at another commit),
/// errc::vanished, errc::stopped, errno.
result<worktree> reuse_worktree(repository& repo, const snapshotter& used,
                                const std::string& branch, const oid& commit, std::stop_token stop);

}  // namespace remora::git

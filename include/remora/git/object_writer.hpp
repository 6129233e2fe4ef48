// Writes objects, and knows which of those that a checkpoint names are durable.
//
// An object counts as durable only if this writer wrote it and `barrier` returned, or it is
// reachable from a root; once something was removed (`hold_objects` sees it), only if it is in a
// pack of ours. Whatever else is named (a blob that the database already had, an agent's own
// commit) was written by somebody's git. That need not sync (an acknowledged checkpoint lost
// exactly what the agent had staged and committed, 4 of 4 power cuts), and its `repack -ad` drops
// what no ref named when it began (a checkpoint was lost every few seconds beside an agent that
// packs). So it is written again; a blob above 64 MiB that is only staged is synced where it is.
//
// New objects go into one pack from one barrier to the next. They are visible through its
// repository at once, to everybody else after `barrier`; what never reached one is dropped with the
// writer. One writer a repository.
//
// Thread: that of its repository. Cost: one hash and, for new objects, one deflate; a barrier costs
// three syncs, whatever the number and size of the objects: pack, index, directory.
#pragma once

#include <remora/git/repository.hpp>
#include <unordered_set>

namespace remora::git {

/// Whether a tree may hold `name`: not empty, no `/`, not `.` or `..`, and nothing that some file
/// system opens as `.git` (`.GIT`, `git~1`, `.git.`, zero-width characters in it).
bool is_tree_name(std::string_view name);

class object_writer {
 public:
  explicit object_writer(repository& repo);
  object_writer(const object_writer&) = delete;
  object_writer& operator=(const object_writer&) = delete;
  ~object_writer();

  result<oid> blob(std::string_view bytes);
  /// The bytes of `fd` from its start, `size` of them, streamed: constant memory.
  /// Errors: errc::vanished if the file holds fewer (it is being written; the caller tries again).
  result<oid> blob_from(int fd, std::uint64_t size);
  /// Entries in any order; empty is allowed (the empty tree).
  /// Errors: errc::usage for a name that is twice or not `is_tree_name`.
  result<oid> tree(std::vector<tree_entry> entries);
  result<oid> commit(const oid& tree, std::span<const oid> parents, const signature& who,
                     std::string_view message);

  /// `id` is reachable from something durable: never synced by us.
  void trust(const oid& id);
  bool is_durable(const oid& id) const;
  /// `id` (one object) was written by somebody else and is about to be named by us.
  void adopt(const oid& id);
  /// Every object reachable from commit `tip` and not from `durable_base` is adopted (an agent's
  /// commits). Errors: errc::corrupt: not all of them can be read; none of them is adopted.
  result<void> adopt_commits(const oid& tip, const oid& durable_base);

  /// After success everything written or adopted so far survives a power cut.
  /// Errors: errno; then nothing of it counts as durable, and a retry writes anew: a sync that
  /// failed once says nothing when it succeeds the next time (F4).
  result<void> barrier();

  std::uint64_t bytes_written() const noexcept;
  std::uint64_t bytes_packed() const noexcept;  ///< on the disk, of all barriers so far

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// Once, at a run's start: everything in the object database so far is made durable (`syncfs`).
result<void> sync_object_database(const repository& repo);

}  // namespace remora::git

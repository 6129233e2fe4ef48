// The packs that remora wrote: few, kept while they are needed, and nothing of a dead writer's
// left.
//
// Each checkpoint adds a pack with a `.keep` beside it: without one the user's own commit repacks
// all of them once there are 50 (measured). So merging them falls to us.
//
// Thread: that of the repository; blocks. None of this waits for another process.
#pragma once

#include <functional>
#include <optional>
#include <remora/core/posix.hpp>
#include <remora/git/repository.hpp>
#include <stop_token>
#include <string>
#include <vector>

namespace remora::git {

/// Merges the smallest kept packs of ours once there are more than 10, so that each object is
/// copied a number of times that grows with the logarithm of their number. Not on the way of a
/// checkpoint: after it was announced. Lets go of packs that are gone. What is in a pack is
/// findable at every moment, for us and for any git; a damaged pack stays as it is. True: it merged
/// some; false too while another process does it. Errors: errno (the disk is full: nothing is
/// lost), errc::stopped.
result<bool> consolidate_packs(repository& repo, const std::stop_token& stop = {});

/// What a checkpoint finds in the database, and does without writing, stays until this is closed:
/// held from a snapshot's beginning until its ref is moved, and for all else that is written and
/// then named. Lets go of packs that are gone. Waits for whoever is taking some away: for a walk
/// over what has come to be reached, a second at 10^5 refs, and a few calls. Errors: errno.
result<unique_fd> hold_objects(repository& repo);

/// Removes from our packs what nothing reaches any more: no ref, no log of one, no HEAD, no index
/// and no operation in progress of any worktree. A pack of which at least a quarter is dead goes;
/// what lives of it is copied into a new one before. What another program's git has been relying on
/// within a quarter of an hour stays with its pack: a `git add` finds a blob and writes none, long
/// before an index names it. `also`: asked, three times, for what is needed whatever becomes of its
/// refs. `repo`: the caller's alone. Gives the bytes that are free again; nothing: not now
/// (somebody is merging, has `hold_objects`, or writes an index). Thread: any; walks the whole
/// history by a child git, as `git prune` does. Errors: errc::repository (git cannot read all that
/// is reachable), errc::stopped, errc::timed_out, errno; then nothing is gone.
result<std::optional<std::uint64_t>> remove_unreachable(
    repository& repo, const std::function<result<std::vector<oid>>()>& also,
    const std::stop_token& stop);

/// Another number after each time that something was taken away, as `hold_objects` saw it last.
std::int64_t last_removal(repository& repo);

/// Removes our `.keep` files if there is no checkpoint (`refs/remora/wip/`): from then on the packs
/// are the user's and `git gc` may take them. Removes no pack. `in_use` is asked once the packs are
/// known: whether a run is live that may have written one of them and not named it yet.
result<void> release_kept_packs(const repository& repo, const std::function<bool()>& in_use);

/// For when objects turn out to be damaged (G13): what can be read of packs of ours that are, goes
/// into new ones, and they go to `<git common dir>/remora/damaged`. So a damaged object is a
/// missing one, which is written again where it is needed, and no sound copy is hidden behind it.
/// An index is made anew. A pack that a multi-pack-index names stays. Gives what was done, a
/// sentence a pack. Cost: reads all our packs. Errors: errno.
result<std::vector<std::string>> mend_packs(repository& repo);

/// A pack that it set aside. Nobody reads it any more.
struct damaged_pack {
  std::filesystem::path pack;  ///< its index, if there was one, is beside it
  std::uint64_t bytes = 0;     ///< of both
};
std::vector<damaged_pack> damaged_packs(const repository& repo);

/// What writers left that are no more: packs in the making, and those of which not all names were
/// made; their names below `objects`. What a live one has in the making is none of it.
std::vector<std::string> find_object_files(const repository& repo);
/// Removes them, but for what is in a pack without an index: that comes to lie in a new one. Gives
/// the names of what went.
std::vector<std::string> sweep_object_files(const repository& repo);

}  // namespace remora::git

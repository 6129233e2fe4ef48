// Preparing a checkpoint: every object of it, and the barrier.
#include <algorithm>
#include <remora/checkpoint/store.hpp>

#include "checkpoint/damage.hpp"
#include "checkpoint/keep.hpp"
#include "checkpoint/mind_tree.hpp"

namespace remora::checkpoint {
namespace {

/// The commit whose tree the files were before this checkpoint, and its tree.
struct files_parent {
  git::oid commit;
  git::oid tree;
};

result<files_parent> parent_of(const git::repository& repo, const git::oid& base,
                               const std::optional<record>& before, bool thin) {
  if (before && !thin) return files_parent{before->files, before->files_tree};
  auto info = repo.read_commit(base);
  if (!info) return within("the base of the task", damage(info.error()));
  return files_parent{base, info->tree};
}

std::vector<git::oid> parents_of(const record& r) {
  std::vector<git::oid> parents{r.files};
  const auto add = [&](const git::oid& id) {
    if (std::find(parents.begin(), parents.end(), id) == parents.end()) parents.push_back(id);
  };
  if (r.previous) add(*r.previous);
  for (const git::oid& id : r.keep) add(id);
  return parents;
}

record describe(const request& r) {
  return {.run = r.run,
          .task = r.task,
          .attempt = r.attempt,
          .number = r.number,
          .reason = r.reason,
          .base = r.base,
          .head = r.files.head,
          .previous = r.thin ? std::nullopt : r.previous,
          .from = r.from,
          .seconds = r.seconds,
          .files_tree = r.files.tree};
}

}  // namespace

store::store(git::repository& repo, git::object_writer& objects, bool branch)
    : repo_(repo), objects_(objects), branch_(branch), counted_(objects.bytes_written()) {}

result<prepared> store::prepare(request r) {
  std::optional<record> before;
  if (r.previous) {
    REMORA_TRY(before, read_record(repo_, *r.previous));
    // Reachable from the previous record: durable, though another process may have written it.
    auto there = repo_.read_tree(before->mind);
    if (!there) return damage(within("the mind of the previous checkpoint", there.error()));
    for (const git::tree_entry& e : *there) objects_.trust(e.id);
    objects_.trust(before->files_tree);
  }
  const git::signature us = git::remora_signature(r.seconds);
  record what = describe(r);
  REMORA_TRY(const files_parent parent, parent_of(repo_, r.base, before, r.thin));
  const bool changed = parent.tree != what.files_tree;
  const bool starts_chain = !before || r.thin;  // with a files commit of its own in any case
  if (changed || starts_chain) {
    const git::oid parents[] = {parent.commit};
    REMORA_TRY(what.files, objects_.commit(what.files_tree, parents, us, files_message(what)));
  } else {
    what.files = parent.commit;
  }
  REMORA_TRY(kept_commits kept, find_kept(repo_, objects_, r, before));
  what.keep = std::move(kept.keep);
  const auto mind_before = before ? std::optional(before->mind) : std::nullopt;
  REMORA_TRY(what.mind, write_mind(repo_, objects_, r, mind_before, kept.unreadable));
  REMORA_TRY(what.commit, objects_.commit(what.mind, parents_of(what), us, record_message(what)));
  const std::uint64_t packed = objects_.bytes_packed();
  REMORA_CHECK(objects_.barrier());

  const bool same_chain = before && before->run == r.run && before->task == r.task;
  prepared done{.what = std::move(what),
                .old = same_chain ? before->commit : git::oid(),
                .changed_files = changed,
                .bytes = objects_.bytes_written() - counted_,
                .packed = objects_.bytes_packed() - packed};
  counted_ += done.bytes;
  return done;
}

}  // namespace remora::checkpoint

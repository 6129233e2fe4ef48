#include "checkpoint/keep.hpp"

#include <algorithm>
#include <remora/core/text.hpp>

#include "checkpoint/complete.hpp"

namespace remora::checkpoint {
namespace {

bool contains(const std::vector<git::oid>& list, const git::oid& id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

/// MERGE_HEAD, CHERRY_PICK_HEAD, REBASE_HEAD, REVERT_HEAD, ORIG_HEAD, rebase-merge/orig-head, …:
/// a file that holds nothing but ids, one a line. Nothing otherwise.
std::vector<git::oid> ids_of(std::string_view file) {
  std::vector<git::oid> ids;
  for (const std::string_view line : split(trim(file), '\n')) {
    const auto id = git::oid::parse(line);
    if (!id) return {};
    if (!id->is_zero()) ids.push_back(*id);
  }
  return ids;
}

std::vector<git::oid> candidates(const git::snapshot& s) {
  std::vector<git::oid> ids;
  if (!s.head.commit.is_zero()) ids.push_back(s.head.commit);
  for (const auto& [name, bytes] : s.operation) {
    const auto found = ids_of(bytes);
    ids.insert(ids.end(), found.begin(), found.end());
  }
  ids.insert(ids.end(), s.stashes.begin(), s.stashes.end());
  return ids;
}

}  // namespace

result<kept_commits> find_kept(const git::repository& repo, git::object_writer& objects,
                               const request& r, const std::optional<record>& before) {
  kept_commits found;
  // What the previous head reaches is durable, so only the newer commits are walked.
  const bool head_kept = before && contains(before->keep, before->head.commit);
  const git::oid& durable = head_kept ? before->head.commit : r.base;
  for (const git::oid& id : candidates(r.files)) {
    if (contains(found.keep, id) || contains(found.unreadable, id)) continue;
    if (const auto in_base = repo.is_ancestor(id, r.base); in_base && *in_base) continue;
    if (before && contains(before->keep, id)) {
      found.keep.push_back(id);
      continue;
    }
    // First, for what the writer has adopted once the barrier insists on.
    REMORA_TRY(const bool present, is_present(repo, id, durable));
    if (!present) {
      found.unreadable.push_back(id);
      continue;
    }
    const auto adopted = objects.adopt_commits(id, durable);
    if (!adopted && !adopted.error().is(errc::corrupt)) return adopted.error();
    (adopted ? found.keep : found.unreadable).push_back(id);
  }
  return found;
}

}  // namespace remora::checkpoint

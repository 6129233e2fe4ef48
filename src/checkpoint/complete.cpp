#include "checkpoint/complete.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "checkpoint/damage.hpp"

namespace remora::checkpoint {
namespace {

enum class depth { look_up, read };  ///< what is done to a blob

/// In a partial clone an object that is absent may be one that was never fetched.
bool is_partial_clone(const git::repository& repo) {
  std::error_code ec;
  std::filesystem::directory_iterator it(repo.common_dir() / "objects" / "pack", ec), end;
  for (; !ec && it != end; it.increment(ec))
    if (it->path().extension() == ".promisor") return true;
  return false;
}

class checker {
 public:
  checker(const git::repository& repo, depth blobs, bool partial = false)
      : repo_(repo), blobs_(blobs), partial_(partial) {}

  /// All below `tree` but what `known` (zero: nothing) has at the same place.
  result<void> tree(const git::oid& id, const git::oid& known);
  /// A commit, and those before it that `durable` does not reach.
  result<void> history(const git::oid& tip, const git::oid& durable);

 private:
  using by_name = std::unordered_map<std::string, git::tree_entry>;
  result<by_name> entries_of(const git::oid& tree) const;

  result<void> blob(const git::oid& id) const;
  bool is_elsewhere(const git::oid& id) const { return partial_ && !repo_.exists(id); }

  const git::repository& repo_;
  depth blobs_;
  bool partial_;
  std::unordered_set<git::oid> sound_;
};

result<checker::by_name> checker::entries_of(const git::oid& tree) const {
  by_name found;
  if (tree.is_zero()) return found;
  REMORA_TRY(const auto entries, repo_.read_tree(tree));
  for (const git::tree_entry& e : entries) found.emplace(e.name, e);
  return found;
}

result<void> checker::blob(const git::oid& id) const {
  if (is_elsewhere(id)) return {};
  if (blobs_ == depth::read) {
    REMORA_CHECK(repo_.read_blob(id));
  } else if (!repo_.exists(id)) {
    return fail(errc::corrupt, fmt::format("object {} is missing", id.hex()));
  }
  return {};
}

result<void> checker::tree(const git::oid& id, const git::oid& known) {
  if (id == known || !sound_.insert(id).second || is_elsewhere(id)) return {};
  REMORA_TRY(const auto entries, repo_.read_tree(id));
  REMORA_TRY(const by_name old, entries_of(known));
  for (const git::tree_entry& e : entries) {
    const auto at = old.find(e.name);
    const bool was_there = at != old.end();
    if (was_there && at->second.id == e.id) continue;
    if (e.mode == git::mode::commit) continue;  // a submodule's, in another database
    if (e.mode == git::mode::directory) {
      const bool was_tree = was_there && at->second.mode == git::mode::directory;
      REMORA_CHECK(tree(e.id, was_tree ? at->second.id : git::oid()));
    } else if (sound_.insert(e.id).second) {
      REMORA_CHECK(blob(e.id));
    }
  }
  return {};
}

result<void> checker::history(const git::oid& tip, const git::oid& durable) {
  REMORA_TRY(const auto commits, repo_.commits_between(durable, tip, static_cast<std::size_t>(-1)));
  for (const git::oid& id : commits) {
    REMORA_TRY(const git::commit_info commit, repo_.read_commit(id));
    git::oid known;
    // The walk has read all parents but those that a shallow clone has not.
    if (!commit.parents.empty())
      if (const auto parent = repo_.read_commit(commit.parents.front())) known = parent->tree;
    REMORA_CHECK(tree(commit.tree, known));
  }
  return {};
}

result<void> check(const git::repository& repo, const record& r,
                   const std::optional<record>& before) {
  checker c(repo, depth::read);
  git::oid files;
  git::oid mind;
  if (before) {
    files = before->files_tree;
    mind = before->mind;
  } else if (const auto base = repo.read_commit(r.base)) {
    files = base->tree;
  }
  REMORA_CHECK(c.tree(r.files_tree, files));
  REMORA_CHECK(c.tree(r.mind, mind));
  for (const git::oid& id : r.keep) REMORA_CHECK(c.history(id, r.base));
  return {};
}

result<bool> undamaged(const result<void>& checked) {
  if (checked) return true;
  const error e = damage(checked.error());
  if (e.is(errc::corrupt)) return false;
  return e;
}

}  // namespace

result<bool> is_complete(const git::repository& repo, const record& r,
                         const std::optional<record>& before) {
  return undamaged(check(repo, r, before));
}

result<bool> is_present(const git::repository& repo, const git::oid& tip, const git::oid& durable) {
  return undamaged(checker(repo, depth::look_up, is_partial_clone(repo)).history(tip, durable));
}

result<bool> is_sound(const git::repository& repo, const git::oid& tip, const git::oid& durable) {
  return undamaged(checker(repo, depth::read, is_partial_clone(repo)).history(tip, durable));
}

result<bool> is_readable(const git::repository& repo, const git::oid& commit) {
  const auto files = repo.read_commit(commit);
  if (!files) return undamaged(files.error());
  return undamaged(checker(repo, depth::read, is_partial_clone(repo)).tree(files->tree, {}));
}

}  // namespace remora::checkpoint

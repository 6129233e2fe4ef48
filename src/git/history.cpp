// Walks over commits. libgit2 1.5 does not know shallow clones (it fails at the first parent that
// was not fetched, measured), so these are our own.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <queue>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "git/look_twice.hpp"
#include "git/repository_impl.hpp"

namespace remora::git {
namespace {

/// Clocks of committers differ: a commit may look older than its parent by this much and is still
/// met. Git's own walk has the like (`SLOP` in its revision.c).
constexpr std::int64_t clock_slop_seconds = 86'400;

constexpr unsigned wanted = 1;  ///< reachable from the tip
constexpr unsigned hidden = 2;  ///< reachable from the base

struct node {
  oid id;
  std::int64_t time = 0;
  std::vector<oid> parents;
  std::size_t met = 0;  ///< the how-many'th commit that was met
  unsigned flags = 0;
  bool queued = false;
};

struct newer {
  bool operator()(const node* a, const node* b) const {
    return a->time != b->time ? a->time < b->time : a->met > b->met;
  }
};

using queue = std::priority_queue<node*, std::vector<node*>, newer>;

class walk {
 public:
  explicit walk(const repository& repo) : repo_(repo) {
    const auto text = read_file(repo.common_dir() / "shallow");
    if (!text && !text.error().is_errno(ENOENT)) unread_ = text.error();
    if (!text) return;  // the usual case: complete
    for (const std::string_view line : split(*text, '\n'))
      if (const auto id = oid::parse(trim(line))) shallow_.insert(*id);
  }

  /// Paints from both ends until what is wanted can no longer turn out to be hidden.
  result<void> paint(const oid& base, const oid& tip) {
    if (unread_) return *unread_;
    REMORA_CHECK(reach(tip, wanted));
    if (!base.is_zero()) REMORA_CHECK(reach(base, hidden));
    while (!queue_.empty()) {
      if (open_ == 0 && queue_.top()->time + clock_slop_seconds < oldest_) break;
      node* at = queue_.top();
      queue_.pop();
      open_ -= is_open(*at);
      at->queued = false;
      if (at->flags == wanted) oldest_ = std::min(oldest_, at->time);
      for (const oid& parent : at->parents) REMORA_CHECK(reach(parent, at->flags));
    }
    return {};
  }

  bool found(const oid& id) const {
    const auto at = nodes_.find(id);
    return at != nodes_.end() && at->second.flags == wanted;
  }

  /// Children before parents, among these the newest first.
  std::vector<oid> in_order(std::size_t limit) {
    std::unordered_map<oid, std::size_t> children;
    for (const auto& [id, n] : nodes_)
      if (n.flags == wanted)
        for (const oid& parent : n.parents) ++children[parent];
    queue ready;
    for (auto& [id, n] : nodes_)
      if (n.flags == wanted && !children.contains(id)) ready.push(&n);
    std::vector<oid> ids;
    while (!ready.empty() && ids.size() < limit) {
      const node* at = ready.top();
      ready.pop();
      ids.push_back(at->id);
      for (const oid& parent : at->parents)
        if (--children[parent] == 0 && found(parent)) ready.push(&nodes_.at(parent));
    }
    return ids;
  }

 private:
  static bool is_open(const node& n) { return n.queued && n.flags == wanted; }

  result<void> reach(const oid& id, unsigned flags) {
    REMORA_TRY(node* const at, load(id));
    if ((at->flags | flags) == at->flags) return {};
    open_ -= is_open(*at);
    at->flags |= flags;
    if (!std::exchange(at->queued, true)) queue_.push(at);
    open_ += is_open(*at);
    return {};
  }

  result<node*> load(const oid& id) {
    const auto [at, is_new] = nodes_.try_emplace(id);
    node& n = at->second;
    if (!is_new) return &n;
    const git_oid raw_id = to_git(id);
    git_commit* raw = nullptr;
    const int got =
        look_twice(repo_, [&] { return git_commit_lookup(&raw, repo_.raw(), &raw_id); });
    if (got != 0)
      return git_failure(got, fmt::format("cannot walk the history at {}", id.hex()),
                         errc::corrupt);
    const commit_handle commit(raw);
    n.id = id;
    n.time = git_commit_time(raw);
    n.met = nodes_.size();
    const unsigned parents = shallow_.contains(id) ? 0 : git_commit_parentcount(raw);
    for (unsigned i = 0; i < parents; ++i)
      n.parents.push_back(from_git(*git_commit_parent_id(raw, i)));
    return &n;
  }

  const repository& repo_;
  std::unordered_set<oid> shallow_;  ///< commits whose parents were not fetched
  std::optional<error> unread_;      ///< which ones these are
  std::unordered_map<oid, node> nodes_;
  queue queue_;
  std::size_t open_ = 0;  ///< how many in the queue are wanted and not hidden
  std::int64_t oldest_ = std::numeric_limits<std::int64_t>::max();
};

}  // namespace

result<bool> repository::is_ancestor(const oid& ancestor, const oid& descendant) const {
  if (ancestor == descendant) return true;
  walk history(*this);
  REMORA_CHECK(history.paint(descendant, ancestor));
  return !history.found(ancestor);
}

result<std::vector<oid>> repository::commits_between(const oid& base, const oid& tip,
                                                     std::size_t limit) const {
  walk history(*this);
  REMORA_CHECK(history.paint(base, tip));
  return history.in_order(limit);
}

}  // namespace remora::git

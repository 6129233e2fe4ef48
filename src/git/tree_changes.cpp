#include "git/tree_changes.hpp"

#include <algorithm>

namespace remora::git {
namespace {

using entries = std::vector<tree_entry>;
using visitor = std::function<result<void>(const std::string& path, const tree_entry* from,
                                           const tree_entry* to)>;

result<entries> read_or_empty(const repository& repo, const oid& tree) {
  if (tree.is_zero()) return entries();
  return repo.read_tree(tree);
}

/// Git's order: a directory sorts as if its name ended in `/`. So a file and a directory of one
/// name are two entries, as they are in a diff.
int compare(const tree_entry& a, const tree_entry& b) {
  const std::size_t common = std::min(a.name.size(), b.name.size());
  if (const int c = a.name.compare(0, common, b.name, 0, common); c != 0) return c;
  const auto next = [common](const tree_entry& e) -> int {
    if (e.name.size() > common) return static_cast<unsigned char>(e.name[common]);
    return e.mode == mode::directory ? '/' : 0;
  };
  if (const int c = next(a) - next(b); c != 0) return c;
  return a.name.size() < b.name.size() ? -1 : a.name.size() > b.name.size() ? 1 : 0;
}

/// Calls `visit` for each entry that differs, directories too, before what is in them.
result<void> walk(const repository& repo, const std::string& prefix, const oid& from, const oid& to,
                  const visitor& visit) {
  REMORA_TRY(const entries old_side, read_or_empty(repo, from));
  REMORA_TRY(const entries new_side, read_or_empty(repo, to));
  auto a = old_side.begin();
  auto b = new_side.begin();
  while (a != old_side.end() || b != new_side.end()) {
    const int order = a == old_side.end() ? 1 : b == new_side.end() ? -1 : compare(*a, *b);
    const tree_entry* before = order <= 0 ? &*a++ : nullptr;
    const tree_entry* after = order >= 0 ? &*b++ : nullptr;
    if (before && after && before->id == after->id && before->mode == after->mode) continue;
    const std::string path = prefix + (before ? before->name : after->name);
    REMORA_CHECK(visit(path, before, after));
    const auto below = [](const tree_entry* e) {
      return e && e->mode == mode::directory ? e->id : oid();
    };
    if (!below(before).is_zero() || !below(after).is_zero())
      REMORA_CHECK(walk(repo, path + '/', below(before), below(after), visit));
  }
  return {};
}

}  // namespace

result<std::vector<tree_change>> tree_changes(const repository& repo, const oid& from,
                                              const oid& to) {
  std::vector<tree_change> changes;
  if (from == to) return changes;
  const auto side = [](const tree_entry* e) -> std::optional<tree_entry> {
    if (e == nullptr || e->mode == mode::directory) return std::nullopt;
    return *e;
  };
  REMORA_CHECK(walk(repo, "", from, to,
                    [&](const std::string& path, const tree_entry* before,
                        const tree_entry* after) -> result<void> {
                      tree_change change{path, side(before), side(after)};
                      if (change.from || change.to) changes.push_back(std::move(change));
                      return {};
                    }));
  return changes;
}

result<void> new_objects(const repository& repo, const oid& from, const oid& to,
                         const std::function<void(const oid&)>& found) {
  if (from == to) return {};
  found(to);
  return walk(repo, "", from, to,
              [&](const std::string&, const tree_entry*, const tree_entry* after) -> result<void> {
                if (after && after->mode != mode::commit) found(after->id);
                return {};
              });
}

}  // namespace remora::git

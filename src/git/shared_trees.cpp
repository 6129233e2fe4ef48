#include "git/shared_trees.hpp"

#include <algorithm>
#include <remora/git/snapshot.hpp>

namespace remora::git {

template <class T>
std::shared_ptr<T> shared_trees::table<T>::same(const oid& tree, std::shared_ptr<T> mine) {
  std::weak_ptr<T>& there = held[tree];
  if (auto others = there.lock()) return others;
  there = mine;
  if (held.size() >= sweep_at) {
    std::erase_if(held, [](const auto& entry) { return entry.second.expired(); });
    sweep_at = std::max(sweep_at, 2 * held.size());
  }
  return mine;
}

std::shared_ptr<listing> shared_trees::of_tree(const oid& tree, std::shared_ptr<listing> mine) {
  const std::lock_guard lock(mutex_);
  return trees_.same(tree, std::move(mine));
}

std::shared_ptr<const shared_trees::hashes> shared_trees::find_index(const oid& tree) const {
  const std::lock_guard lock(mutex_);
  const auto found = indexes_.held.find(tree);
  return found == indexes_.held.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const shared_trees::hashes> shared_trees::keep_index(
    const oid& tree, std::shared_ptr<const hashes> mine) {
  const std::lock_guard lock(mutex_);
  return indexes_.same(tree, std::move(mine));
}

std::size_t shared_trees::size() const {
  const std::lock_guard lock(mutex_);
  return trees_.held.size();
}

std::shared_ptr<shared_trees> share_trees() {
  return std::make_shared<shared_trees>();
}

}  // namespace remora::git

// What worktrees with the same trees have in common, once for all of them. Thread: any.
#pragma once

#include <mutex>
#include <unordered_map>

#include "git/stat_cache.hpp"

namespace remora::git {

class shared_trees {
 public:
  using hashes = std::vector<std::size_t>;

  /// `mine`, or what another one gave for the same tree and still holds.
  std::shared_ptr<listing> of_tree(const oid& tree, std::shared_ptr<listing> mine);
  /// As above; `make` is called where nobody holds them.
  template <class Make>
  std::shared_ptr<const hashes> of_index(const oid& tree, Make make) {
    if (auto there = find_index(tree)) return there;
    return keep_index(tree, std::make_shared<const hashes>(make()));
  }
  /// Of trees, and some that nobody holds any more.
  std::size_t size() const;

 private:
  std::shared_ptr<const hashes> find_index(const oid& tree) const;
  std::shared_ptr<const hashes> keep_index(const oid& tree, std::shared_ptr<const hashes> mine);

  template <class T>
  struct table {
    std::unordered_map<oid, std::weak_ptr<T>> held;
    std::size_t sweep_at = 1024;

    std::shared_ptr<T> same(const oid& tree, std::shared_ptr<T> mine);
  };

  mutable std::mutex mutex_;
  table<listing> trees_;
  table<const hashes> indexes_;
};

}  // namespace remora::git

// One pack of what several of ours hold.
#pragma once

#include <cstdint>
#include <remora/git/repository.hpp>
#include <stop_token>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "git/new_pack.hpp"
#include "git/pack_format.hpp"

namespace remora::git {

struct pack_entry {
  oid id;
  std::uint64_t offset = 0;
  std::uint64_t packed = 0;  ///< bytes in the pack
  std::uint32_t crc = 0;
};

/// Of a pack that is read: it is damaged or cut.
bool is_damage(const error& e);

/// What a pack holds by its index's word, in the pack's order. Errors: errc::corrupt, errno.
result<std::vector<pack_entry>> list_entries(const std::filesystem::path& directory,
                                             std::string_view stem);

/// A checkpoint's own pack is written fast. Here is time: small objects are deflated as git does
/// it, and one of which the next commit has another version is stored as what differs from that.
/// So what is new is whole and quick to read, and whoever gives up the oldest frees it. Chains are
/// short, so that a damaged object takes few older versions of one file with it; and what the last
/// commit of a line has is whole and nothing is made of it: it needs no other object, and if it is
/// damaged the versions before it are there. What was done once is copied as it is.
///
/// Thread: that of the repository.
class pack_merger {
 public:
  /// Into a pack of this repository, which has all that are added. Errors: errno.
  static result<pack_merger> begin(const repository& repo);
  /// Errors: errno; then it takes no part.
  result<void> add(const std::filesystem::path& directory, std::string stem,
                   std::vector<pack_entry> entries);
  /// All that was added and can be read is in `into` then. Errors: errno, errc::stopped.
  result<void> run(const std::stop_token& stop);

  /// The packs of which all that was added is there.
  std::vector<std::string> merged() const;
  new_pack& into() noexcept { return into_; }

 private:
  struct source {
    std::string stem;
    unique_fd pack;
    std::vector<pack_entry> entries;
    bool sound = true;
  };
  struct item {
    std::uint32_t source;
    std::uint32_t entry;
    entry_start start;
    bool fast;  // it was deflated at the fastest level
  };
  struct version {
    oid tree, next_tree;
  };

  pack_merger(const repository& repo, new_pack into) : repo_(repo), into_(std::move(into)) {}

  template <class Visit>
  void for_each_entry(Visit visit) {
    for (std::uint32_t n = 0; n < sources_.size(); ++n)
      for (std::uint32_t i = 0; i < sources_[n].entries.size(); ++i) visit(n, i);
  }
  const oid& id_at(std::uint32_t number, std::uint32_t entry) const {
    return sources_[number].entries[entry].id;
  }
  std::optional<item> read_item(std::uint32_t number, std::uint32_t entry) const;
  void find_versions();
  void keep_whole(const oid& tree);
  bool may_differ(const oid& older, const oid& newer) const;
  bool are_alike(const oid& older, const oid& newer) const;
  void pair_trees(const oid& older, const oid& newer);
  const oid* base_of(const oid& id, const item& of) const;
  result<void> put(const oid& wanted);
  result<void> put_one(const oid& id, const item& i);
  result<bool> put_difference(const oid& id, const oid& base);

  const repository& repo_;
  new_pack into_;
  std::vector<source> sources_;
  std::unordered_map<oid, item> items_;
  std::unordered_map<oid, oid> newer_;  // version, of an object
  std::unordered_set<oid> last_;        // what the last commits of all lines have
  std::unordered_set<oid> paired_, begun_;
};

}  // namespace remora::git

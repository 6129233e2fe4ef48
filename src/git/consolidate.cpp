// Merging our packs.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <remora/git/packs.hpp>
#include <tuple>

#include "git/merge_packs.hpp"
#include "git/multi_pack_index.hpp"
#include "git/repository_impl.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_packs = 10;
constexpr std::size_t most_merged = 100;  // at once: all of them are open
constexpr std::uint64_t growth = 2;

struct kept_pack {
  std::string stem;
  std::uint64_t bytes = 0;
};

/// Ours alone, smallest first. Those that a multi-pack-index names stay until git makes another: it
/// says that it is damaged when one of its packs is gone.
std::vector<kept_pack> kept_packs(const fs::path& directory) {
  const auto indexed = packs_in_multi_pack_index(directory);
  std::vector<kept_pack> packs;
  for (our_files& files : list_our_packs(directory)) {
    if (!files.pack || !files.index || !files.keep || indexed.contains(files.stem)) continue;
    std::error_code gone;
    const std::uint64_t bytes = fs::file_size(pack_path(directory, files.stem, ".pack"), gone);
    if (!gone) packs.push_back({std::move(files.stem), bytes});
  }
  std::sort(packs.begin(), packs.end(), [](const kept_pack& a, const kept_pack& b) {
    return std::tie(a.bytes, a.stem) < std::tie(b.bytes, b.stem);
  });
  return packs;
}

/// The smallest packs up to where the next one is at least twice as large as all of them. Each of
/// them comes to lie in a pack at least half as large again as its own was, so that no object is
/// copied more often than the logarithm of the whole.
std::size_t how_many(const std::vector<kept_pack>& packs) {
  std::uint64_t sum = packs[0].bytes;
  std::size_t count = 1;
  const std::size_t most = std::min(packs.size(), most_merged);
  while (count < most && (count < 2 || packs[count].bytes < growth * sum))
    sum += packs[count++].bytes;
  return count;
}

/// A damaged pack stays as it is. Errors: errno.
result<void> add_pack(const fs::path& directory, const std::string& stem, pack_merger& to) {
  auto entries = list_entries(directory, stem);
  auto added = entries ? to.add(directory, stem, std::move(*entries)) : entries.error();
  const bool unreadable = !added && (is_damage(added.error()) || added.error().is_errno(ENOENT));
  return unreadable ? result<void>() : added;
}

std::optional<timespec> later(const std::optional<timespec>& a, const std::optional<timespec>& b) {
  if (!a || !b) return a ? a : b;
  return std::tie(a->tv_sec, a->tv_nsec) < std::tie(b->tv_sec, b->tv_nsec) ? b : a;
}

/// When somebody last relied on one of them.
std::optional<timespec> last_reliance(const fs::path& directory,
                                      const std::vector<std::string>& stems) {
  std::optional<timespec> last;
  for (const std::string& stem : stems) {
    const auto times = read_pack_times(directory, stem);
    if (times && times->is_relied_on()) last = later(last, times->now);
  }
  return last;
}

/// The new pack is durable before the first of the old ones goes.
result<bool> merge(const repository& repo, const fs::path& directory,
                   const std::vector<kept_pack>& packs, const std::stop_token& stop) {
  REMORA_TRY(pack_merger merged, pack_merger::begin(repo));
  for (const kept_pack& pack : packs) REMORA_CHECK(add_pack(directory, pack.stem, merged));
  REMORA_CHECK(merged.run(stop));
  const std::vector<std::string> copied = merged.merged();
  if (copied.size() < 2) return false;
  std::optional<timespec> relied_on = last_reliance(directory, copied);
  REMORA_TRY(const new_pack::published made, merged.into().publish(relied_on));
  const unique_fd alone = take_packs(directory);
  for (const std::string& stem : copied) relied_on = later(relied_on, remove_pack(directory, stem));
  // Best effort: of the moment between the look at an old pack and its end.
  if (relied_on) {
    const timespec both[] = {*relied_on, *relied_on};
    ::utimensat(AT_FDCWD, pack_path(directory, made.stem, ".pack").c_str(), both, 0);
  }
  return true;
}

}  // namespace

result<bool> consolidate_packs(repository& repo, const std::stop_token& stop) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  bool merged = false;
  if (kept_packs(directory).size() > most_packs) {
    REMORA_TRY(const unique_fd lock, open_file(directory, O_RDONLY | O_DIRECTORY));
    if (!take_hold(lock.get())) return false;
    std::vector<kept_pack> packs = kept_packs(directory);
    if (packs.size() > most_packs) {
      packs.resize(how_many(packs));
      REMORA_TRY(merged, merge(repo, directory, packs, stop));
    }
  }
  REMORA_CHECK(let_go_of_gone_packs(repo.inside()));
  return merged;
}

}  // namespace remora::git

// Merging our packs.
#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <remora/git/packs.hpp>
#include <tuple>

#include "git/multi_pack_index.hpp"
#include "git/new_pack.hpp"
#include "git/pack_format.hpp"
#include "git/repository_impl.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_packs = 10;
constexpr std::uint64_t growth = 2;

struct kept_pack {
  std::string stem;
  std::uint64_t bytes = 0;
};

std::vector<std::string> stems_of(const std::vector<our_files>& packs) {
  std::vector<std::string> stems;
  for (const our_files& files : packs)
    if (files.pack && files.index) stems.push_back(files.stem);
  return stems;
}

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
  while (count < packs.size() && (count < 2 || packs[count].bytes < growth * sum))
    sum += packs[count++].bytes;
  return count;
}

/// All objects of a pack. Errors: errc::corrupt, errno.
result<void> copy_all(const fs::path& directory, const std::string& stem, new_pack& into) {
  REMORA_TRY(const indexed_pack indexed, read_pack_index(pack_path(directory, stem, ".idx")));
  const auto& objects = indexed.objects;
  const fs::path path = pack_path(directory, stem, ".pack");
  REMORA_TRY(const unique_fd pack, open_file(path, O_RDONLY));
  std::error_code ec;
  const std::uint64_t bytes = fs::file_size(path, ec);
  if (ec || bytes < pack_trailer_bytes) return fail(errc::corrupt, path.string() + " is cut");
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const packed_object& o = objects[i];
    const bool last = i + 1 == objects.size();
    const std::uint64_t end = last ? bytes - pack_trailer_bytes : objects[i + 1].offset;
    if (end <= o.offset) return fail(errc::corrupt, path.string() + " is damaged");
    REMORA_CHECK(into.copy(o.id, pack.get(), o.offset, end - o.offset, o.crc));
  }
  return {};
}

/// The new pack is durable before the first of the old ones goes.
result<bool> merge(const fs::path& directory, const std::vector<kept_pack>& packs) {
  REMORA_TRY(new_pack merged, new_pack::begin(directory));
  std::vector<std::string> copied;
  for (const kept_pack& pack : packs) {
    const auto done = copy_all(directory, pack.stem, merged);
    const bool unreadable =
        !done && (done.error().is(errc::corrupt) || done.error().is(errc::vanished) ||
                  done.error().is_errno(ENOENT));
    if (done)
      copied.push_back(pack.stem);
    else if (!unreadable)
      return done.error();
  }
  if (copied.size() < 2) return false;
  REMORA_CHECK(merged.publish());
  const unique_fd alone = take_packs(directory);
  for (const std::string& stem : copied) remove_pack(directory, stem);
  return true;
}

}  // namespace

result<bool> consolidate_packs(repository& repo) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  bool merged = false;
  if (kept_packs(directory).size() > most_packs) {
    REMORA_TRY(const unique_fd lock, open_file(directory, O_RDONLY | O_DIRECTORY));
    if (!take_hold(lock.get())) return false;
    std::vector<kept_pack> packs = kept_packs(directory);
    if (packs.size() > most_packs) {
      packs.resize(how_many(packs));
      REMORA_TRY(merged, merge(directory, packs));
    }
  }
  repository_impl& own = repo.inside();
  std::vector<std::string> now = stems_of(list_our_packs(directory));
  const bool all_there =
      std::includes(now.begin(), now.end(), own.our_packs.begin(), own.our_packs.end());
  if (merged || !all_there) REMORA_CHECK(open_objects_again(own));
  own.our_packs = std::move(now);
  return merged;
}

}  // namespace remora::git

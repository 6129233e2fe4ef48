#include "git/mend_packs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>

#include "git/multi_pack_index.hpp"
#include "git/new_pack.hpp"
#include "git/pack_format.hpp"
#include "git/repository_impl.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 256 << 10;
constexpr std::size_t most_entry_head = 10;

/// Calls `take` with the bytes [from, to) as they come until it says false; false as well where
/// there are fewer.
template <class Take>
result<bool> for_pieces(int fd, std::uint64_t from, std::uint64_t to, Take take) {
  std::string piece(piece_bytes, '\0');
  while (from < to) {
    const auto want = std::min<std::uint64_t>(piece.size(), to - from);
    REMORA_TRY(const std::size_t got, read_at(fd, std::span(piece).first(want), from));
    if (got < want || !take(std::string_view(piece).substr(0, got))) return false;
    from += got;
  }
  return true;
}

/// The bytes of a pack hash to its trailer, and that is the one that its index knows.
result<bool> is_sound(int pack, std::uint64_t size, const oid& trailer) {
  if (size < pack_head_bytes + pack_trailer_bytes) return false;
  const std::uint64_t body = size - pack_trailer_bytes;
  std::array<char, pack_trailer_bytes> said{};
  REMORA_TRY(const std::size_t got, read_at(pack, said, body));
  if (got < said.size() || oid(reinterpret_cast<const unsigned char*>(said.data())) != trailer)
    return false;
  sha1 sum;
  REMORA_TRY(const bool whole, for_pieces(pack, 0, body, [&](std::string_view piece) {
               sum.add(piece);
               return true;
             }));
  return whole && sum.finish() == trailer;
}

struct found_entry {
  packed_object what;
  std::uint64_t packed = 0;
};

/// The entry at `offset`; nothing where it is damaged.
result<std::optional<found_entry>> entry_at(int pack, std::uint64_t offset, std::uint64_t end) {
  std::array<char, most_entry_head> head{};
  REMORA_TRY(const std::size_t got, read_at(pack, head, offset));
  const auto start = read_entry_head({head.data(), got});
  if (!start) return std::optional<found_entry>();
  sha1 id;
  id.add(fmt::format("{} {}", git_object_type2string(start->type), start->size));
  id.add({"\0", 1});
  inflater inflate(start->size);
  std::string room(piece_bytes, '\0');
  REMORA_TRY([[maybe_unused]] const bool all,
             for_pieces(pack, offset + start->bytes, end, [&](std::string_view piece) {
               inflate.add(piece);
               while (const std::size_t made = inflate.take(room)) id.add({room.data(), made});
               return inflate.wants_more();
             }));
  if (!inflate.is_whole()) return std::optional<found_entry>();
  found_entry found{{id.finish(), offset, 0}, start->bytes + inflate.used()};
  REMORA_TRY([[maybe_unused]] const bool read,
             for_pieces(pack, offset, offset + found.packed, [&](std::string_view piece) {
               found.what.crc = static_cast<std::uint32_t>(::crc32_z(
                   found.what.crc, reinterpret_cast<const Bytef*>(piece.data()), piece.size()));
               return true;
             }));
  return std::optional(found);
}

/// Entry by entry up to the first that is damaged: where the next one begins is then not known.
/// True: all of them are in `into`.
result<bool> copy_in_order(int pack, std::uint64_t size, new_pack& into) {
  const std::uint64_t end = size - std::min(size, pack_trailer_bytes);
  for (std::uint64_t at = pack_head_bytes; at < end;) {
    REMORA_TRY(const auto entry, entry_at(pack, at, end));
    if (!entry) return false;
    REMORA_CHECK(into.copy(entry->what.id, pack, at, entry->packed, entry->what.crc));
    at += entry->packed;
  }
  return size >= pack_head_bytes + pack_trailer_bytes;
}

/// Each that is sound by the index's word for it. True: all of them are.
result<bool> copy_indexed(int pack, std::uint64_t size, const std::vector<packed_object>& objects,
                          new_pack& into) {
  bool all = true;
  const std::uint64_t last = size - std::min(size, pack_trailer_bytes);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const packed_object& o = objects[i];
    const std::uint64_t end = i + 1 == objects.size() ? last : objects[i + 1].offset;
    const auto copied = end > o.offset ? into.copy(o.id, pack, o.offset, end - o.offset, o.crc)
                                       : fail(errc::corrupt, "the pack is cut");
    if (!copied && !copied.error().is(errc::corrupt) && !copied.error().is(errc::vanished))
      return copied.error();
    all = all && copied.has_value();
  }
  return all;
}

fs::path damaged_directory(const fs::path& common_dir) {
  return common_dir / "remora" / "damaged";
}

/// Index first: from then on nobody looks into the pack.
result<fs::path> set_aside(const fs::path& common_dir, const std::string& stem) {
  const fs::path from = common_dir / "objects" / "pack", to = damaged_directory(common_dir);
  REMORA_CHECK(make_directories(to, 0700));
  for (const char* ending : {".idx", ".pack"})
    if (::rename(pack_path(from, stem, ending).c_str(), pack_path(to, stem, ending).c_str()) != 0 &&
        errno != ENOENT)
      return os_error(errno, "cannot set the damaged pack " + stem + " aside");
  ::unlink(pack_path(from, stem, ".keep").c_str());
  REMORA_CHECK(sync_directory(to));
  REMORA_CHECK(sync_directory(from));
  return pack_path(to, stem, ".pack");
}

/// Merging and mending take turns.
result<unique_fd> hold_packs(const fs::path& directory) {
  REMORA_TRY(unique_fd lock, open_file(directory, O_RDONLY | O_DIRECTORY));
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) break;  // a file system without locks keeps nobody out
  return lock;
}

}  // namespace

result<std::string> mend_pack(const fs::path& common_dir, const std::string& stem) {
  const fs::path directory = common_dir / "objects" / "pack";
  const fs::path path = pack_path(directory, stem, ".pack");
  REMORA_TRY(const unique_fd pack, open_file(path, O_RDONLY));
  std::error_code ec;
  const std::uint64_t size = fs::file_size(path, ec);
  if (ec) return os_error(ec.value(), "cannot read " + path.string());
  const auto indexed = read_pack_index(pack_path(directory, stem, ".idx"));
  if (!indexed && !indexed.error().is(errc::corrupt) && !indexed.error().is_errno(ENOENT))
    return indexed.error();
  if (indexed) {
    REMORA_TRY(const bool sound, is_sound(pack.get(), size, indexed->trailer));
    if (sound) return std::string();
  }
  REMORA_TRY(new_pack saved, new_pack::begin(directory));
  REMORA_TRY(const bool all, indexed ? copy_indexed(pack.get(), size, indexed->objects, saved)
                                     : copy_in_order(pack.get(), size, saved));
  const std::size_t count = saved.size();
  if (count > 0) REMORA_CHECK(saved.publish());
  const unique_fd alone = take_packs(directory);
  if (all) {
    remove_pack(directory, stem);
    return fmt::format("{} or its index was damaged: all of its objects are in a new pack", stem);
  }
  REMORA_TRY(const fs::path kept, set_aside(common_dir, stem));
  return fmt::format("{} is damaged: {}{} of its objects are in a new pack, and it is kept at {}",
                     stem, count, indexed ? fmt::format(" of {}", indexed->objects.size()) : "",
                     to_utf8(kept.string()));
}

result<std::vector<std::string>> mend_packs(repository& repo) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  std::vector<std::string> done;
  REMORA_TRY(const unique_fd lock, hold_packs(directory));
  const auto indexed = packs_in_multi_pack_index(directory);
  for (const our_files& files : list_our_packs(directory)) {
    if (!files.pack || indexed.contains(files.stem)) continue;
    if (!files.index) {  // a publisher holds its pack until the index has its name
      const auto fd = open_file(pack_path(directory, files.stem, ".pack"), O_RDONLY | O_NOFOLLOW);
      if (!fd || !is_abandoned(fd->get())) continue;
    }
    REMORA_TRY(std::string what, mend_pack(repo.common_dir(), files.stem));
    if (!what.empty()) done.push_back(std::move(what));
  }
  REMORA_CHECK(open_objects_again(repo.inside()));
  return done;
}

std::vector<damaged_pack> damaged_packs(const repository& repo) {
  const fs::path directory = damaged_directory(repo.common_dir());
  std::vector<damaged_pack> found;
  for (const our_files& files : list_our_packs(directory)) {
    damaged_pack& one = found.emplace_back(pack_path(directory, files.stem, ".pack"), 0);
    for (const char* ending : {".pack", ".idx"}) {
      std::error_code gone;
      const std::uintmax_t bytes = fs::file_size(pack_path(directory, files.stem, ending), gone);
      if (!gone) one.bytes += bytes;
    }
  }
  return found;
}

}  // namespace remora::git

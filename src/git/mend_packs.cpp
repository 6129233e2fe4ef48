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
#include <unordered_map>

#include "git/merge_packs.hpp"
#include "git/multi_pack_index.hpp"
#include "git/pack_delta.hpp"
#include "git/repository_impl.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 256 << 10;

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

/// A pack without an index, entry by entry from its start.
class pack_walk {
 public:
  pack_walk(int pack, std::uint64_t end) : pack_(pack), end_(end) {}

  bool at_end() const noexcept { return at_ >= end_; }

  /// The next entry; nothing where it is damaged: where the one behind it begins is then not known.
  result<std::optional<pack_entry>> next() {
    pack_entry found{{}, at_, 0, 0};
    REMORA_TRY(const auto start, head(at_));
    if (!start) return std::optional<pack_entry>();
    REMORA_TRY(const auto id, start->base ? hash_difference(at_) : hash_whole(at_, *start));
    if (!id) return std::optional<pack_entry>();
    found.id = *id;
    found.packed = start->bytes + used_;
    REMORA_TRY([[maybe_unused]] const bool read,
               for_pieces(pack_, at_, at_ + found.packed, [&](std::string_view piece) {
                 found.crc = static_cast<std::uint32_t>(::crc32_z(
                     found.crc, reinterpret_cast<const Bytef*>(piece.data()), piece.size()));
                 return true;
               }));
    places_.emplace(found.id, at_);
    at_ += found.packed;
    return std::optional(found);
  }

 private:
  struct object {
    git_object_t type{};
    std::string bytes;
  };

  result<std::optional<entry_start>> head(std::uint64_t at) const {
    std::array<char, most_entry_head> bytes{};
    REMORA_TRY(const std::size_t got, read_at(pack_, bytes, at));
    return read_entry_head({bytes.data(), got});
  }

  /// True: all that it says is there.
  template <class Take>
  result<bool> inflate(std::uint64_t at, const entry_start& start, Take take) {
    inflater inflate(start.size);
    std::string room(piece_bytes, '\0');
    REMORA_TRY([[maybe_unused]] const bool all,
               for_pieces(pack_, at + start.bytes, end_, [&](std::string_view piece) {
                 inflate.add(piece);
                 while (const std::size_t made = inflate.take(room)) take({room.data(), made});
                 return inflate.wants_more();
               }));
    used_ = inflate.used();
    return inflate.is_whole();
  }

  /// However large it is.
  result<std::optional<oid>> hash_whole(std::uint64_t at, const entry_start& start) {
    sha1 id = begin_object(start.type, start.size);
    REMORA_TRY(const bool whole,
               inflate(at, start, [&](std::string_view bytes) { id.add(bytes); }));
    return whole ? std::optional(id.finish()) : std::nullopt;
  }

  result<std::optional<oid>> hash_difference(std::uint64_t at) {
    REMORA_TRY(const auto made, read(at));
    if (!made) return std::optional<oid>();
    return std::optional(hash_object(made->type, made->bytes));
  }

  /// An object, made of those before it that it needs.
  result<std::optional<object>> read(std::uint64_t at) {
    REMORA_TRY(const auto start, head(at));
    if (!start) return std::optional<object>();
    std::optional<object> base;
    if (start->base) {
      const auto place = places_.find(*start->base);
      if (place == places_.end()) return std::optional<object>();
      REMORA_TRY(base, read(place->second));
      if (!base) return std::optional<object>();
    }
    object made{start->type, {}};
    REMORA_TRY(const bool whole,
               inflate(at, *start, [&](std::string_view bytes) { made.bytes += bytes; }));
    if (!whole) return std::optional<object>();
    if (!base) return std::optional(std::move(made));
    auto bytes = apply_delta(base->bytes, made.bytes);
    if (!bytes) return std::optional<object>();
    return std::optional(object{base->type, std::move(*bytes)});
  }

  int pack_;
  std::uint64_t end_;
  std::uint64_t at_ = pack_head_bytes;
  std::uint64_t used_ = 0;  // by what was inflated last
  std::unordered_map<oid, std::uint64_t> places_;
};

/// Up to the first entry that is damaged. True: all of them are in `into`.
result<bool> copy_in_order(int pack, std::uint64_t size, new_pack& into) {
  pack_walk walk(pack, size - std::min(size, pack_trailer_bytes));
  while (!walk.at_end()) {
    REMORA_TRY(const auto entry, walk.next());
    if (!entry) return false;
    REMORA_CHECK(into.copy(entry->id, pack, entry->offset, entry->packed, entry->crc));
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
    if (!copied && !is_damage(copied.error())) return copied.error();
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
  REMORA_CHECK(mark_removal(common_dir));
  for (const char* ending : {".idx", ".pack"})
    if (::rename(pack_path(from, stem, ending).c_str(), pack_path(to, stem, ending).c_str()) != 0 &&
        errno != ENOENT)
      return os_error(errno, "cannot set the damaged pack " + stem + " aside");
  ::unlink(pack_path(from, stem, ".keep").c_str());
  REMORA_CHECK(mark_removal(common_dir));  // again: for who has seen the first, and the pack
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
  const auto times = read_pack_times(directory, stem);
  const bool relied_on = times && times->is_relied_on();
  if (count > 0) REMORA_CHECK(saved.publish(relied_on ? std::optional(times->now) : std::nullopt));
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

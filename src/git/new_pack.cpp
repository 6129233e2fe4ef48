#include "git/new_pack.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <remora/core/plant.hpp>
#include <remora/core/text.hpp>
#include <vector>

#include "git/pack_format.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 256 << 10;
constexpr std::string_view keep_text = "remora\n";

error cannot(std::string_view verb, const fs::path& path) {
  return os_error(errno, fmt::format("cannot {} {}", verb, to_utf8(path.string())));
}

result<void> set_time(int fd, const timespec& time) {
  const timespec both[] = {time, time};
  if (::futimens(fd, both) != 0) return os_error(errno, "cannot set the time of a pack");
  return {};
}

/// Never synced: that it is there is enough, and the directory's sync sees to that. `first`: the
/// pack's time; one that is lost in a power cut only makes it seem relied on.
result<void> make_keep(const fs::path& path, const timespec& first) {
  REMORA_TRY(const unique_fd fd, open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0444));
  REMORA_CHECK(write_all(fd.get(), keep_text));
  return set_time(fd.get(), first);
}

}  // namespace

/// It is written behind the pack's end, which moves once all of it is there.
struct new_pack::entry {
  int fd;
  object made{};

  result<void> put(std::string_view bytes) {
    auto written = write_at(fd, bytes, made.offset + made.packed);
    made.packed += bytes.size();
    made.crc = static_cast<std::uint32_t>(
        ::crc32_z(made.crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
    return written;
  }
};

new_pack::new_pack(held_file file, fs::path directory, int level)
    : file_(std::move(file)),
      directory_(std::move(directory)),
      deflate_(std::make_unique<deflater>(level)),
      end_(pack_head_bytes) {}

result<new_pack> new_pack::begin(const fs::path& directory, int level) {
  REMORA_TRY(held_file file, held_file::make(directory, ".tmp"));
  return new_pack(std::move(file), directory, level);
}

const new_pack::object* new_pack::find(const oid& id) const {
  const auto at = objects_.find(id);
  return at == objects_.end() ? nullptr : &at->second;
}

void new_pack::keep(const oid& id, const entry& e) {
  end_ += e.made.packed;
  objects_.emplace(id, e.made);
}

/// What there is of an entry that is not kept goes: the disk may be full. Best effort: the next
/// entry is written over it, and `finish` cuts the file anyway. By its descriptor: the file is
/// read-only, and by its name only root could.
void new_pack::cut() {
  [[maybe_unused]] const int done = ::ftruncate(file_.fd(), static_cast<off_t>(end_));
}

result<void> new_pack::add(const oid& id, git_object_t type, std::string_view bytes) {
  if (objects_.contains(id)) return {};
  buffer_ = entry_head(type, bytes.size());
  entry e{file_.fd(), {.offset = end_, .size = bytes.size(), .type = type}};
  return write(id, bytes, e);
}

result<void> new_pack::add_delta(const oid& id, const oid& base, std::string_view delta) {
  if (objects_.contains(id)) return {};
  buffer_ = entry_head(GIT_OBJECT_REF_DELTA, delta.size());
  buffer_ += bytes_of(base);
  const std::uint32_t depth = find(base)->depth + 1;
  constexpr git_object_t type = GIT_OBJECT_REF_DELTA;
  entry e{file_.fd(), {.offset = end_, .size = delta.size(), .depth = depth, .type = type}};
  return write(id, delta, e);
}

/// Behind the entry's head, which is in the buffer.
result<void> new_pack::write(const oid& id, std::string_view bytes, entry& e) {
  e.made.head = static_cast<std::uint32_t>(buffer_.size());
  deflate_->begin();
  deflate_->add(bytes, true, buffer_);
  auto written = e.put(buffer_);
  if (written)
    keep(id, e);
  else
    cut();
  return written;
}

result<oid> new_pack::write_file(entry& e, int from, std::uint64_t size) {
  sha1 id = begin_object(GIT_OBJECT_BLOB, size);
  buffer_ = entry_head(GIT_OBJECT_BLOB, size);
  e.made.head = static_cast<std::uint32_t>(buffer_.size());
  deflate_->begin();
  std::vector<char> piece(piece_bytes);
  std::uint64_t done = 0;
  do {
    const auto want = std::min<std::uint64_t>(piece.size(), size - done);
    const auto read = read_at(from, std::span(piece).first(want), done);
    if (!read) return fail(errc::unsupported, read.error().what);
    const std::size_t got = *read;
    if (got < want) return shrunk(size);
    done += got;
    id.add({piece.data(), got});
    deflate_->add({piece.data(), got}, done == size, buffer_);
    REMORA_CHECK(e.put(buffer_));
    buffer_.clear();
  } while (done < size);
  return id.finish();
}

result<oid> new_pack::add_file(int fd, std::uint64_t size,
                               const std::function<bool(const oid&)>& wanted) {
  entry e{file_.fd(), {.offset = end_, .size = size, .type = GIT_OBJECT_BLOB}};
  auto id = write_file(e, fd, size);
  if (id && !objects_.contains(*id) && wanted(*id))
    keep(*id, e);
  else
    cut();
  return id;
}

result<void> new_pack::copy_entry(entry& e, int pack, std::uint64_t offset, std::uint64_t packed) {
  std::vector<char> piece(std::min<std::uint64_t>(packed, piece_bytes));
  while (e.made.packed < packed) {
    const auto want = std::min<std::uint64_t>(piece.size(), packed - e.made.packed);
    REMORA_TRY(const std::size_t got,
               read_at(pack, std::span(piece).first(want), offset + e.made.packed));
    if (got < want) return shrunk(offset + packed);
    if (e.made.packed == 0) {
      const auto start = read_entry_head({piece.data(), std::min(got, most_entry_head)});
      const object* base = start && start->base ? find(*start->base) : nullptr;
      if (!start || (start->base && !base))
        return fail(errc::corrupt, "an entry is no object, or one that another is needed for");
      if (base) e.made.depth = base->depth + 1;
      e.made.type = start->type;
      e.made.size = start->size;
      e.made.head = start->bytes;
    }
    REMORA_CHECK(e.put({piece.data(), got}));
  }
  return {};
}

result<void> new_pack::copy(const oid& id, int pack, std::uint64_t offset, std::uint64_t packed,
                            std::uint32_t crc) {
  if (objects_.contains(id)) return {};
  entry e{file_.fd(), {.offset = end_}};
  auto copied = copy_entry(e, pack, offset, packed);
  if (copied && (packed == 0 || e.made.crc != crc))
    copied = fail(errc::corrupt, fmt::format("the bytes of object {} are damaged", id.hex()));
  if (copied)
    keep(id, e);
  else
    cut();
  return copied;
}

result<void> new_pack::read(const object& o, char* into) const {
  inflater inflate(o.size);
  std::span<char> room(into, o.size + 1);
  std::vector<char> piece(std::min<std::uint64_t>(o.packed, piece_bytes));
  for (std::uint64_t done = o.head; done < o.packed;) {
    const auto want = std::min<std::uint64_t>(piece.size(), o.packed - done);
    REMORA_TRY(const std::size_t got,
               read_at(file_.fd(), std::span(piece).first(want), o.offset + done));
    if (got < want) break;
    inflate.add({piece.data(), got});
    while (const std::size_t made = inflate.take(room)) room = room.subspan(made);
    done += got;
  }
  if (inflate.is_whole()) return {};
  return fail(errc::corrupt, fmt::format("{} is damaged", to_utf8(file_.path().string())));
}

/// Head, with the number of objects that is known only now, and trailer.
result<oid> new_pack::finish() {
  const int fd = file_.fd();
  REMORA_CHECK(write_at(fd, pack_head(static_cast<std::uint32_t>(objects_.size())), 0));
  sha1 sum;
  std::vector<char> piece(piece_bytes);
  for (std::uint64_t done = 0; done < end_;) {
    const auto want = std::min<std::uint64_t>(piece.size(), end_ - done);
    REMORA_TRY(const std::size_t got, read_at(fd, std::span(piece).first(want), done));
    if (got < want) return fail(errc::vanished, "somebody cut it");
    sum.add({piece.data(), got});
    done += got;
  }
  const oid trailer = sum.finish();
  REMORA_CHECK(write_at(fd, {reinterpret_cast<const char*>(trailer.data()), 20}, end_));
  if (::ftruncate(fd, static_cast<off_t>(end_ + pack_trailer_bytes)) != 0)
    return cannot("cut", file_.path());
  return trailer;
}

result<held_file> new_pack::write_index(const oid& trailer) const {
  std::vector<packed_object> objects;
  objects.reserve(objects_.size());
  for (const auto& [id, o] : objects_) objects.push_back({id, o.offset, o.crc});
  const std::string bytes = pack_index(std::move(objects), trailer);
  REMORA_TRY(held_file file, held_file::make(directory_, ".idx.tmp"));
  if (auto written = write_at(file.fd(), bytes, 0); !written)
    return within(to_utf8(file.path().string()), written.error());
  return file;
}

/// The order, here and nowhere else. What each step needs of those before it:
///   1. The bytes of pack and index are synced before either has a name that git looks for: after
///      a power cut a name has all of its bytes.
///   2. The `.keep` comes first: no `git gc` meets the pack without it, whose objects no ref names.
///   3. The pack's name comes before the index's, by which git finds packs.
///   4. One sync of the directory makes all three names durable.
/// The locks stay until the names are there: who sweeps sees that somebody lives.
result<new_pack::published> new_pack::publish(const std::optional<timespec>& relied_on) {
  auto trailer = finish();
  if (!trailer) return within(to_utf8(file_.path().string()), trailer.error());
  REMORA_TRY(held_file index, write_index(*trailer));
  const std::string stem = new_pack_stem();
  struct stat pack{}, its_index{};
  if (::fstat(file_.fd(), &pack) != 0 || ::fstat(index.fd(), &its_index) != 0)
    return cannot("examine", file_.path());
  const auto steps = [&]() -> result<void> {
    if (!planted("pack-sync")) REMORA_CHECK(file_.sync());
    REMORA_CHECK(index.sync());
    REMORA_CHECK(make_keep(pack_path(directory_, stem, ".keep"), pack.st_mtim));
    if (relied_on) REMORA_CHECK(set_time(file_.fd(), *relied_on));
    REMORA_CHECK(file_.name(pack_path(directory_, stem, ".pack")));
    return index.name(pack_path(directory_, stem, ".idx"));
  };
  if (auto named = steps(); !named) {
    remove_pack(directory_, stem);
    return named.error();
  }
  REMORA_CHECK(sync_directory(directory_));
  return published{stem, static_cast<std::uint64_t>(pack.st_size + its_index.st_size)};
}

}  // namespace remora::git

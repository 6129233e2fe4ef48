#include "git/pack_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <span>
#include <stdexcept>

#include "git/transfer.hpp"

namespace remora::git {
namespace {

constexpr std::string_view index_magic("\377tOc\0\0\0\2", 8);
constexpr std::size_t fan_out_bytes = 256 * 4;
constexpr std::size_t bytes_an_object = 20 + 4 + 4;  // id, CRC, offset
constexpr std::size_t index_trailer_bytes = 20 + 20;
constexpr std::uint32_t is_large =
    0x80000000u;  // the rest is a place in the table of large offsets

/// There is nothing of ours without it, as without memory.
void check(int done) {
  if (done != 1) throw std::runtime_error("libcrypto cannot compute SHA-1 here");
}

oid oid_at(std::string_view bytes, std::size_t at) {
  return oid(reinterpret_cast<const unsigned char*>(bytes.data()) + at);
}

bool read_exactly(int fd, std::span<char> into, std::uint64_t offset) {
  const auto got = read_at(fd, into, offset);
  return got && *got == into.size();
}

/// The number of objects, if the file's frame is whole.
std::optional<std::size_t> count_of(std::string_view file) {
  constexpr std::size_t least = index_magic.size() + fan_out_bytes + index_trailer_bytes;
  if (file.size() < least || !file.starts_with(index_magic)) return std::nullopt;
  const std::size_t n = read_number<std::uint32_t>(file, index_magic.size() + fan_out_bytes - 4);
  if ((file.size() - least) / bytes_an_object < n) return std::nullopt;
  const std::size_t body = file.size() - 20;
  sha1 sum;
  sum.add(file.substr(0, body));
  if (sum.finish() != oid_at(file, body)) return std::nullopt;
  return n;
}

}  // namespace

std::string_view bytes_of(const oid& id) {
  return {reinterpret_cast<const char*>(id.data()), 20};
}

sha1::sha1() : context_(::EVP_MD_CTX_new()) {
  check(context_ && ::EVP_DigestInit_ex(context_.get(), ::EVP_sha1(), nullptr));
}

void sha1::add(std::string_view bytes) {
  check(::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

oid sha1::finish() {
  std::array<unsigned char, 20> digest{};
  check(::EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
  return oid(digest.data());
}

sha1 begin_object(git_object_t type, std::uint64_t size) {
  sha1 id;
  id.add(fmt::format("{} {}", git_object_type2string(type), size));
  id.add({"\0", 1});
  return id;
}

oid hash_object(git_object_t type, std::string_view bytes) {
  sha1 id = begin_object(type, bytes.size());
  id.add(bytes);
  return id.finish();
}

std::string pack_head(std::uint32_t objects) {
  std::string head("PACK\0\0\0\2", 8);
  append_number(head, objects);
  return head;
}

std::string entry_head(git_object_t type, std::uint64_t size) {
  std::string head;
  auto byte = static_cast<unsigned>(type) << 4 | static_cast<unsigned>(size & 15);
  for (size >>= 4; size > 0; size >>= 7) {
    head += static_cast<char>(byte | 0x80);
    byte = static_cast<unsigned>(size & 0x7f);
  }
  head += static_cast<char>(byte);
  return head;
}

std::optional<entry_start> read_entry_head(std::string_view bytes) {
  entry_start start;
  unsigned shift = 4;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (start.bytes == 0) {
      start.type = static_cast<git_object_t>(byte >> 4 & 7);
      start.size = byte & 15;
    } else {
      start.size |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
    }
    ++start.bytes;
    if (byte & 0x80) {
      if (shift > 60) return std::nullopt;
      continue;
    }
    if (start.type == GIT_OBJECT_REF_DELTA && bytes.size() >= start.bytes + 20) {
      start.base = oid_at(bytes, start.bytes);
      start.bytes += 20;
    }
    const bool whole = start.type >= GIT_OBJECT_COMMIT && start.type <= GIT_OBJECT_TAG;
    return whole || start.base ? std::optional(start) : std::nullopt;
  }
  return std::nullopt;
}

std::string pack_index(std::vector<packed_object> objects, const oid& trailer) {
  std::sort(objects.begin(), objects.end(),
            [](const packed_object& a, const packed_object& b) { return a.id < b.id; });
  std::string file(index_magic);
  file.reserve(file.size() + fan_out_bytes + objects.size() * bytes_an_object +
               index_trailer_bytes);
  std::uint32_t below = 0;
  for (unsigned first = 0; first < 256; ++first) {
    while (below < objects.size() && objects[below].id.data()[0] <= first) ++below;
    append_number(file, below);
  }
  for (const packed_object& o : objects) file += bytes_of(o.id);
  for (const packed_object& o : objects) append_number(file, o.crc);
  std::string large;
  for (const packed_object& o : objects) {
    if (o.offset < is_large) {
      append_number(file, static_cast<std::uint32_t>(o.offset));
      continue;
    }
    append_number(file, static_cast<std::uint32_t>(is_large | large.size() / 8));
    append_number(large, o.offset);
  }
  file += large;
  file += bytes_of(trailer);
  sha1 sum;
  sum.add(file);
  file += bytes_of(sum.finish());
  return file;
}

bool pack_index_names(int index, const oid& id) {
  std::array<char, index_magic.size()> magic{};
  if (!read_exactly(index, magic, 0) || std::string_view(magic.data(), magic.size()) != index_magic)
    return false;
  // The running counts of the first byte before this one, which the first of all does not have,
  // and of this one.
  const unsigned first = id.data()[0];
  const std::size_t missing = first > 0 ? 0 : 4;
  std::array<char, 8> counts{};
  if (!read_exactly(index, std::span(counts).subspan(missing),
                    index_magic.size() + 4 * first - (4 - missing)))
    return false;
  const std::string_view both(counts.data(), counts.size());
  std::uint64_t low = read_number<std::uint32_t>(both, 0);
  std::uint64_t high = read_number<std::uint32_t>(both, 4);
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    std::array<char, 20> found{};
    if (!read_exactly(index, found, index_magic.size() + fan_out_bytes + 20 * middle)) return false;
    const oid at = oid_at({found.data(), found.size()}, 0);
    if (at == id) return true;
    if (at < id)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

result<indexed_pack> read_pack_index(const std::filesystem::path& index) {
  REMORA_TRY(const std::string file, read_file(index));
  const auto damaged = [&] {
    return fail(errc::corrupt, fmt::format("{} is damaged", to_utf8(index.string())));
  };
  const auto count = count_of(file);
  if (!count) return damaged();
  const std::size_t ids = index_magic.size() + fan_out_bytes;
  const std::size_t crcs = ids + *count * 20;
  const std::size_t offsets = crcs + *count * 4;
  const std::size_t large = offsets + *count * 4;
  std::vector<packed_object> objects(*count);
  for (std::size_t i = 0; i < *count; ++i) {
    packed_object& o = objects[i];
    o.id = oid_at(file, ids + i * 20);
    o.crc = read_number<std::uint32_t>(file, crcs + i * 4);
    const auto offset = read_number<std::uint32_t>(file, offsets + i * 4);
    const std::size_t place = large + std::size_t{offset & ~is_large} * 8;
    if (offset < is_large)
      o.offset = offset;
    else if (place + 8 + index_trailer_bytes <= file.size())
      o.offset = read_number<std::uint64_t>(file, place);
    else
      return damaged();
  }
  std::sort(objects.begin(), objects.end(),
            [](const packed_object& a, const packed_object& b) { return a.offset < b.offset; });
  return indexed_pack{std::move(objects), oid_at(file, file.size() - index_trailer_bytes)};
}

}  // namespace remora::git

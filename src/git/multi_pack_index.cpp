#include "git/multi_pack_index.hpp"

#include <fcntl.h>

#include <array>
#include <cstdint>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>

#include "git/pack_format.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "MIDX";
constexpr std::string_view names_chunk = "PNAM";
constexpr std::size_t head_bytes = 12;
constexpr std::size_t chunk_bytes = 4 + 8;
constexpr std::uint64_t most_name_bytes = 16 << 20;

std::string read_part(int fd, std::uint64_t from, std::uint64_t size) {
  std::string bytes(size, '\0');
  const auto got = read_at(fd, bytes, from);
  return got && *got == size ? bytes : std::string();
}

/// The names, each ended by a zero byte; only the part that holds them is read.
std::string read_names(int fd) {
  const std::string head = read_part(fd, 0, head_bytes);
  if (!head.starts_with(magic)) return {};
  const std::size_t chunks = static_cast<unsigned char>(head[6]);
  const std::string table = read_part(fd, head_bytes, (chunks + 1) * chunk_bytes);
  for (std::size_t at = 0; at + 2 * chunk_bytes <= table.size(); at += chunk_bytes) {
    const std::string_view entry = std::string_view(table).substr(at, 2 * chunk_bytes);
    if (!entry.starts_with(names_chunk)) continue;
    const std::uint64_t from = read_number<std::uint64_t>(entry, 4);
    const std::uint64_t to = read_number<std::uint64_t>(entry, chunk_bytes + 4);
    if (to > from && to - from <= most_name_bytes) return read_part(fd, from, to - from);
  }
  return {};
}

void add_names(const fs::path& file, std::set<std::string>& found) {
  const auto fd = open_file(file, O_RDONLY);
  if (!fd) return;  // the usual case: there is none
  const std::string names = read_names(fd->get());
  for (const std::string_view name : split(names, '\0'))
    if (name.ends_with(".idx")) found.emplace(name.substr(0, name.size() - 4));
}

}  // namespace

std::set<std::string> packs_in_multi_pack_index(const fs::path& directory) {
  std::set<std::string> found;
  add_names(directory / "multi-pack-index", found);
  // Since git 2.47 there may be several, one above the other.
  std::error_code ec;
  for (fs::directory_iterator it(directory / "multi-pack-index.d", ec), end; !ec && it != end;
       it.increment(ec))
    if (it->path().extension() == ".midx") add_names(it->path(), found);
  return found;
}

}  // namespace remora::git

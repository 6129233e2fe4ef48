#include "git/pack_delta.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace remora::git {
namespace {

constexpr std::size_t block_bytes = 16;
constexpr std::size_t most_inserted = 0x7f;
constexpr std::size_t most_copied = 0x10000;  // of a pack of version 2
constexpr unsigned is_copy = 0x80;
constexpr unsigned is_size = 0x10;  // of the bits that say which bytes follow, the first for a size

void put_size(std::string& to, std::size_t size) {
  for (; size >= 0x80; size >>= 7) to += static_cast<char>(size | 0x80);
  to += static_cast<char>(size);
}

/// Places in `base` by the block that begins there, one for each block; the first of equal ones.
class block_table {
 public:
  explicit block_table(std::string_view base) : base_(base) {
    const std::size_t blocks = base.size() / block_bytes;
    while ((std::size_t{1} << bits_) < 2 * blocks) ++bits_;
    places_.resize(std::size_t{1} << bits_, none);
    for (std::size_t at = 0; at + block_bytes <= base.size(); at += block_bytes)
      if (std::uint32_t& place = places_[slot(base.data() + at)]; place == none)
        place = static_cast<std::uint32_t>(at);
  }

  /// Where in the base the block at `bytes` is, if it is known.
  std::optional<std::size_t> find(const char* bytes) const {
    const std::uint32_t place = places_[slot(bytes)];
    if (place == none || std::memcmp(base_.data() + place, bytes, block_bytes) != 0)
      return std::nullopt;
    return place;
  }

 private:
  static constexpr std::uint32_t none = ~0U;

  std::size_t slot(const char* bytes) const {
    std::uint64_t half[2];
    std::memcpy(half, bytes, sizeof half);
    const std::uint64_t mixed = (half[0] ^ half[1] * 0x9e3779b97f4a7c15U) * 0xd6e8feb86659fd93U;
    return mixed >> (64 - bits_);
  }

  std::string_view base_;
  unsigned bits_ = 1;
  std::vector<std::uint32_t> places_;
};

void put_insert(std::string& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, most_inserted);
    to += static_cast<char>(part.size());
    to += part;
    bytes.remove_prefix(part.size());
  }
}

void put_copy(std::string& to, std::size_t from, std::size_t size) {
  while (size > 0) {
    const std::size_t part = std::min(size, most_copied);
    const std::size_t at = to.size();
    unsigned which = is_copy;
    to += '\0';
    const auto put_bytes = [&](std::size_t n, unsigned bit) {
      for (; n > 0; n >>= 8, bit <<= 1)
        if (n & 0xff) {
          to += static_cast<char>(n);
          which |= bit;
        }
    };
    put_bytes(from, 1);
    put_bytes(part == most_copied ? 0 : part, is_size);  // none of its bytes: all of that
    to[at] = static_cast<char>(which);
    from += part;
    size -= part;
  }
}

/// A delta's bytes, from first to last.
class delta_reader {
 public:
  explicit delta_reader(std::string_view bytes) : left_(bytes) {}

  bool at_end() const noexcept { return left_.empty(); }
  bool failed() const noexcept { return failed_; }

  unsigned byte() {
    if (left_.empty()) failed_ = true;
    return failed_ ? 0 : static_cast<unsigned char>(take(1).front());
  }
  std::string_view take(std::size_t n) {
    if (n > left_.size()) failed_ = true;
    if (failed_) return {};
    const std::string_view taken = left_.substr(0, n);
    left_.remove_prefix(n);
    return taken;
  }
  std::size_t size() {
    std::size_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const unsigned next = byte();
      n |= std::size_t{next & 0x7f} << shift;
      if (!(next & 0x80)) return n;
    }
    failed_ = true;
    return 0;
  }
  /// The bytes of a number that `bits` says are there, of `count`.
  std::size_t sparse(unsigned bits, unsigned count) {
    std::size_t n = 0;
    for (unsigned i = 0; i < count; ++i)
      if (bits >> i & 1) n |= std::size_t{byte()} << (8 * i);
    return n;
  }

 private:
  std::string_view left_;
  bool failed_ = false;
};

}  // namespace

std::string make_delta(std::string_view base, std::string_view target) {
  std::string delta;
  put_size(delta, base.size());
  put_size(delta, target.size());
  const block_table table(base);
  std::size_t told = 0;  // of the target
  for (std::size_t at = 0; at + block_bytes <= target.size();) {
    const auto found = table.find(target.data() + at);
    if (!found) {
      ++at;
      continue;
    }
    std::size_t from = *found, to = at;
    while (from > 0 && to > told && base[from - 1] == target[to - 1]) --from, --to;
    std::size_t size = at - to + block_bytes;
    while (from + size < base.size() && to + size < target.size() &&
           base[from + size] == target[to + size])
      ++size;
    put_insert(delta, target.substr(told, to - told));
    put_copy(delta, from, size);
    told = at = to + size;
  }
  put_insert(delta, target.substr(told));
  return delta;
}

std::optional<std::string> apply_delta(std::string_view base, std::string_view delta) {
  delta_reader in(delta);
  if (in.size() != base.size()) return std::nullopt;
  const std::size_t wanted = in.size();
  std::string target;
  while (!in.at_end() && !in.failed()) {
    const unsigned what = in.byte();
    if (!(what & is_copy)) {
      if (what == 0) return std::nullopt;  // reserved
      target += in.take(what);
    } else {
      const std::size_t from = in.sparse(what, 4);
      const std::size_t said = in.sparse(what >> 4, 3);
      const std::size_t size = said == 0 ? most_copied : said;
      if (from > base.size() || size > base.size() - from) return std::nullopt;
      target += base.substr(from, size);
    }
    if (target.size() > wanted) return std::nullopt;
  }
  if (in.failed() || target.size() != wanted) return std::nullopt;
  return target;
}

}  // namespace remora::git

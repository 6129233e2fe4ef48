#include <array>
#include <remora/core/crc32c.hpp>

namespace remora {
namespace {

constexpr std::size_t step = 8;
constexpr std::uint32_t polynomial = 0x82f63b78;  // 0x1edc6f41, its bits reflected

using tables = std::array<std::array<std::uint32_t, 256>, step>;

/// `t[k][b]`: what the byte `b` does to the checksum when `k` more bytes follow it.
constexpr tables make_tables() {
  tables t{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    t[0][b] = b;
    for (int bit = 0; bit < 8; ++bit) t[0][b] = t[0][b] >> 1 ^ (t[0][b] & 1 ? polynomial : 0);
  }
  for (std::size_t k = 1; k < step; ++k)
    for (std::uint32_t b = 0; b < 256; ++b) t[k][b] = t[k - 1][b] >> 8 ^ t[0][t[k - 1][b] & 0xff];
  return t;
}

constexpr tables table = make_tables();

}  // namespace

// Eight bytes at a time (Kounavis and Berry, "Novel table lookup-based algorithms for
// high-performance CRC generation", 2008).
std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t crc = 0xffffffff;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  for (; bytes.size() >= step; bytes.remove_prefix(step)) {
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < step; ++i) {
      const std::uint32_t before = i < 4 ? crc >> (8 * i) & 0xff : 0;
      next ^= table[step - 1 - i][before ^ byte(i)];
    }
    crc = next;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) crc = crc >> 8 ^ table[0][(crc & 0xff) ^ byte(i)];
  return ~crc;
}

}  // namespace remora

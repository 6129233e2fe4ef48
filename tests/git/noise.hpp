#pragma once

#include <cstdint>
#include <string>

namespace remora::test {

/// Bytes that do not deflate, the same for the same seed.
inline std::string noise(std::size_t size, std::uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

}  // namespace remora::test

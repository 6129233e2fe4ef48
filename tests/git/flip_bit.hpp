#pragma once

#include <repo.hpp>

namespace remora::test {

/// Of the byte at `at`, as a disk does it.
inline void flip_bit(const std::filesystem::path& path, std::size_t at) {
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  std::string bytes = read_bytes(path);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  write_bytes(path, bytes);
}

}  // namespace remora::test

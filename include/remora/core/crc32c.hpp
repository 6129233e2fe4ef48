// CRC-32C (Castagnoli): the check of a journal line.
#pragma once

#include <cstdint>
#include <string_view>

namespace remora {

std::uint32_t crc32c(std::string_view bytes) noexcept;

}  // namespace remora

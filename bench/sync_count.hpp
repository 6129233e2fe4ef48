// How often this process asked the kernel to make something durable.
#pragma once

#include <cstdint>

namespace remora::bench {

/// Calls of fsync, fdatasync and syncfs so far, by this program and the libraries in it.
std::uint64_t syncs() noexcept;

}  // namespace remora::bench

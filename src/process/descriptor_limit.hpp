#pragma once

#include <cstdint>

namespace remora::process {

/// The soft limit of descriptors that this process was started with.
std::uint64_t inherited_descriptor_limit();

}  // namespace remora::process

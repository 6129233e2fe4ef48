// Why an attempt ended, in words for its successor.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <remora/agent/state.hpp>
#include <string>

namespace remora::agent {

/// «Attempt 2 was ended after 30m00s: timed out (wall).» Holds nothing of the agent's own words: a
/// detail that is not one plain word is left out. `memory_bytes`: what its process tree might have;
/// zero: no limit.
std::string ending(std::uint32_t number, const outcome& o,
                   std::optional<std::chrono::milliseconds> lasted, std::uint64_t memory_bytes = 0);

/// How long the attempt took; nothing where that is not known.
std::optional<std::chrono::milliseconds> lasted(const attempt_record& a);

}  // namespace remora::agent

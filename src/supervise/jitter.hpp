// Waits that vary by ±20 %, so that many tasks do not come back at the same moment.
#pragma once

#include <chrono>
#include <cstdint>

namespace remora::supervise {

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed with every library,
// which std::uniform_int_distribution does not promise.
inline std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

inline std::chrono::milliseconds jittered(std::chrono::milliseconds base, std::uint64_t& state) {
  const auto tenths_of_percent = static_cast<std::int64_t>(next_random(state) % 401) + 800;
  return base * tenths_of_percent / 1000;
}

}  // namespace remora::supervise

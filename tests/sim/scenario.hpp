// One seed: a run, what befalls it, and its end.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace remora::sim {

struct verdict {
  std::string violation;  ///< empty: all invariants held
  std::deque<std::string> trace;
  std::uint64_t steps = 0, lives = 0;
};

/// Plays `seed` with a plan of at most `most_tasks`; the same two play the same. Thread: any, a
/// seed is played by one.
verdict play(std::uint64_t seed, std::uint64_t most_tasks, bool tracing);

/// Two hundred tasks from the evening on, and what befalls them (night.cpp).
verdict play_night(std::uint64_t seed, bool tracing);

}  // namespace remora::sim

// The limits of one task and of each of its attempts (docs/supervision.md). Checked by whoever
// reads them: nothing here is negative, and `wall`, `grace`, `snapshot`, `freeze`, `empty`,
// `attempts` are not zero.
#pragma once

#include <chrono>
#include <cstdint>

namespace remora::supervise {

using std::chrono::milliseconds;

struct checkpoint_rules {
  std::uint32_t turns = 1;  ///< every N turns; 0: never
  bool mutations = true;
  milliseconds interval{30'000};  ///< zero: never
  milliseconds min_gap{
      5'000};  ///< from start to start; within it a checkpoint is postponed, never dropped
};

struct limits {
  milliseconds wall{30 * 60'000};
  milliseconds idle{0};          ///< zero: off
  milliseconds first_output{0};  ///< zero: off
  milliseconds tool{600'000};    ///< an open tool call is a sign of life for so long
  milliseconds soft{0};          ///< zero: off; a checkpoint this long before `wall`
  milliseconds grace{10'000};
  milliseconds snapshot{10'000};  ///< a checkpoint while frozen
  milliseconds freeze{500};
  milliseconds empty{5'000};
  std::uint32_t attempts = 20;  ///< counted lives
  checkpoint_rules checkpoints;
  std::uint32_t agents = 1;  ///< in its list
  bool verifies = false;
  milliseconds saving{120'000};             ///< the final checkpoint: nothing runs, so no hurry
  milliseconds rate_wait{6 * 60 * 60'000};  ///< the longest wait for an account's reset
};

}  // namespace remora::supervise

// Whose quota is used up, or whose login was refused: on a paused account nothing starts, what runs
// is left alone. Afterwards one attempt goes first, and the others follow when its first turn is
// through. Pure: time is an argument, on the wall clock, as a reset is a moment of the world.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <span>
#include <string>

namespace remora::supervise {

using std::chrono::milliseconds;

struct pause {
  agent::outcome why;  ///< rate_limited, auth_failed
  wall_time since;
  std::optional<wall_time> until;  ///< nothing: until a person has acted
  std::uint32_t row = 0;           ///< so many pauses came before it with nothing through between
};

class accounts {
 public:
  /// `seed`: of the jitter.
  explicit accounts(std::uint64_t seed = 0) : random_(seed) {}

  /// An attempt ended `rate_limited` or `auth_failed`. `retry_in`: to the reset, where it was told.
  /// Where waiting for a reset that was told did not help, the next one is not believed alone.
  /// Returns the pause as it is now.
  const pause& failed(const std::string& account, const agent::outcome& why,
                      std::optional<milliseconds> retry_in, wall_time now);
  /// `task` was let go since the account was paused.
  bool goes_first(const std::string& account, std::size_t task) const;
  /// A turn of `task` is through. True: it went first, or soon after, and the account is open.
  bool turn_through(const std::string& account, std::size_t task);
  /// `task` has no agent any more. True: it went first, and another one may now.
  bool ended(std::size_t task);

  struct answer {
    std::optional<std::size_t> which{};  ///< it may start, with this one
    std::optional<wall_time> again{};    ///< not now: to be asked again then
    const supervise::pause* closed{};    ///< not in `longest`: what lasts the shortest
    std::string account{};               ///< whose that is
  };
  /// May an attempt of `task` start, and with which of `names`, the first that is open? Whoever may
  /// on an account that was paused goes first: for a minute, if it does not end or ask before.
  answer ask(std::size_t task, std::span<const std::string> names, wall_time now,
             milliseconds longest);

  // --- shared with other runs ---
  const std::map<std::string, pause>& pauses() const noexcept { return pauses_; }
  /// What is known everywhere, ours included: what is not there was opened by somebody. A login
  /// that was refused before `began` may be in order by now: one goes first.
  void replace(std::map<std::string, pause> known, wall_time began);

 private:
  using starts = std::map<std::size_t, wall_time>;

  std::map<std::string, pause> pauses_;
  std::map<std::string, starts> first_;  ///< who was let go since it was paused
  std::uint64_t random_;
};

}  // namespace remora::supervise

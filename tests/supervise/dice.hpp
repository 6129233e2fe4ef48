// What chance chooses in a random walk: limits, outcomes, facts.
#pragma once

#include <random>

#include "words.hpp"

namespace remora::supervise::test {

using agent::verdict;

class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <class T>
  T of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(choices.size()));
  }

 private:
  std::mt19937_64 engine_;
};

inline limits random_limits(dice& d) {
  limits l;
  l.wall = d.of({20s, 300s, 1800s});
  l.idle = d.of({0s, 15s, 60s});
  l.first_output = d.of({0s, 10s});
  l.soft = d.of({0s, 5s, 500s});
  l.attempts = d.of({1u, 3u, 20u});
  l.verifies = d.one_in(2);
  l.agents = d.of({1u, 1u, 3u});
  l.checkpoints = {.turns = d.of({0u, 1u, 3u}),
                   .mutations = d.one_in(2),
                   .interval = d.of({0s, 3s, 30s}),
                   .min_gap = d.of({0s, 5s})};
  return l;
}

inline agent::outcome random_outcome(dice& d) {
  return {d.of({verdict::completed, verdict::completed, verdict::failed, verdict::crashed,
                verdict::timed_out, verdict::context_full, verdict::overloaded, verdict::network,
                verdict::rate_limited, verdict::auth_failed, verdict::refused, verdict::budget,
                verdict::interrupted}),
          {},
          {}};
}

inline fact any_fact(dice& d) {
  switch (d.below(27)) {
    case 0:
      return begin{};
    case 1:
      return prepared{};
    case 2:
      return prepare_failed{verdict::setup_failed, {}, d.one_in(2)};
    case 3:
      return started{};
    case 4:
      return spawn_failed{{}, d.one_in(2), d.one_in(2)};
    case 5:
      return output{};
    case 6:
      return worktree_changed{};
    case 7:
      return turn_ended{};
    case 8:
      return d.one_in(4) ? fact(checkpoint_requested{}) : fact(mutated{});
    case 9:
      return frozen{d.one_in(2)};
    case 10:
      return exited{random_outcome(d)};
    case 11:
      return emptied{d.one_in(2)};
    case 12:
      return saved{d.below(50), d.one_in(2), d.one_in(2), 1s};
    case 13:
      return save_failed{d.below(50), {}};
    case 14:
      return verified{d.one_in(2)};
    case 15:
      return published{};
    case 16:
      return publish_failed{};
    case 17:
      return d.one_in(30) ? fact(stop{}) : fact(alive{});
    case 18:
      return d.one_in(30) ? fact(over_budget{}) : fact(alive{});
    case 19:
      return woke{};
    case 22:
      return retrying{milliseconds(d.below(100'000))};
    case 23:
      return d.one_in(30) ? fact(looping{random_outcome(d)}) : fact(alive{});
    case 24:
      return d.one_in(30) ? fact(handed_over{}) : fact(alive{});
    case 20:
      return allowed{};
    case 21:
      return d.one_in(10) ? fact(denied{random_outcome(d)}) : fact(allowed{});
    default:
      return deadline{};
  }
}

}  // namespace remora::supervise::test

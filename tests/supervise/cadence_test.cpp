// When checkpoints are taken while an agent runs.
#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(checkpoint_cadence)

namespace {

driven running(checkpoint_rules rules, milliseconds soft = 0ms) {
  auto l = quiet();
  l.wall = 1000s;
  l.soft = soft;
  l.checkpoints = rules;
  driven d(l);
  d.run();
  return d;
}

constexpr checkpoint_rules only_turns{
    .turns = 1, .mutations = false, .interval = 0ms, .min_gap = 5s};

}  // namespace

BOOST_AUTO_TEST_CASE(at_every_turn_and_mutation) {
  auto d = running({.turns = 1, .mutations = true, .interval = 0ms, .min_gap = 0ms});
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  BOOST_TEST(d.answer() == "");
  BOOST_TEST(d.tell(mutated{}) == "save mutation");
}

BOOST_AUTO_TEST_CASE(at_every_third_turn) {
  auto d = running({.turns = 3, .mutations = false, .interval = 0ms, .min_gap = 0ms});
  for (int round = 0; round < 2; ++round) {
    BOOST_TEST(d.tell(turn_ended{}) == "");
    BOOST_TEST(d.tell(turn_ended{}) == "");
    BOOST_TEST(d.tell(turn_ended{}) == "save turn");
    d.answer();
  }
}

BOOST_AUTO_TEST_CASE(turns_are_counted_from_the_start_of_an_attempt) {
  auto d = running({.turns = 2, .mutations = false, .interval = 0ms, .min_gap = 0ms});
  d.tell(turn_ended{});
  d.exit(verdict::context_full);
  d.tell(started{});
  BOOST_TEST(d.tell(turn_ended{}) == "");
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
}

BOOST_AUTO_TEST_CASE(none_where_all_rules_are_off) {
  auto d = running({.turns = 0, .mutations = false, .interval = 0ms, .min_gap = 0ms});
  BOOST_TEST(d.tell(turn_ended{}) == "");
  BOOST_TEST(d.tell(mutated{}) == "");
  BOOST_TEST(d.tell(output{}, 900s) == "");
  BOOST_TEST(d.wakes_in() == 100'000);
}

BOOST_AUTO_TEST_CASE(within_min_gap_a_checkpoint_is_postponed_and_not_dropped) {
  auto d = running(only_turns);
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  d.answer(true, 1s);
  BOOST_TEST(d.tell(turn_ended{}) == "");
  BOOST_TEST(d.wakes_in() == 4'000);  // from start to start
  BOOST_TEST(d.wait() == "save turn");
}

BOOST_AUTO_TEST_CASE(one_in_flight_and_later_wishes_are_merged) {
  auto d = running({.turns = 1, .mutations = true, .interval = 0ms, .min_gap = 0ms});
  BOOST_TEST(d.tell(mutated{}) == "save mutation");
  BOOST_TEST(d.tell(turn_ended{}) == "");
  BOOST_TEST(d.tell(mutated{}) == "");
  BOOST_TEST(d.answer() == "save turn");
  BOOST_TEST(d.answer() == "");
}

BOOST_AUTO_TEST_CASE(a_slow_checkpoint_in_flight_causes_no_deadline) {
  auto d = running({.turns = 1, .mutations = true, .interval = 10s, .min_gap = 5s});
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  d.tell(turn_ended{}, 60s);
  BOOST_TEST(d.wakes_in() == 940'000);
  BOOST_TEST(d.answer() == "save turn");
}

BOOST_AUTO_TEST_CASE(every_interval_since_the_last_checkpoint) {
  auto d = running({.turns = 1, .mutations = true, .interval = 30s, .min_gap = 5s});
  BOOST_TEST(d.wakes_in() == 30'000);
  BOOST_TEST(d.wait() == "save interval");
  d.answer();
  BOOST_TEST(d.wakes_in() == 30'000);
  BOOST_TEST(d.tell(turn_ended{}, 10s) == "save turn");
  d.answer();
  BOOST_TEST(d.wakes_in() == 30'000);
  BOOST_TEST(d.wait() == "save interval");
}

BOOST_AUTO_TEST_CASE(those_by_interval_use_at_most_a_twentieth_of_the_time) {
  auto d = running({.turns = 0, .mutations = false, .interval = 10s, .min_gap = 0ms});
  milliseconds spent = 0ms;
  int taken = 0;
  while (d.now < t0 + 900s) {
    BOOST_REQUIRE(d.wait() == "save interval");
    d.tell(saved{.token = d.token, .took = 2s}, 2s);
    spent += 2s;
    ++taken;
    if (taken > 1) BOOST_TEST((spent * 20 <= d.now - t0));
  }
  BOOST_TEST(taken == 23);  // one every 40 s
}

BOOST_AUTO_TEST_CASE(a_checkpoint_before_wall) {
  auto d = running({.turns = 0, .mutations = false, .interval = 0ms, .min_gap = 5s}, 120s);
  BOOST_TEST(d.wakes_in() == 880'000);
  BOOST_TEST(d.wait() == "ask for a note, save soft");
  d.answer();
  BOOST_TEST(d.wakes_in() == 120'000);
  BOOST_TEST(d.wait() == "freeze");
}

BOOST_AUTO_TEST_CASE(a_failed_checkpoint_is_tried_again_ever_later_and_ends_nobody) {
  auto d = running({.turns = 1, .mutations = true, .interval = 0ms, .min_gap = 0ms});
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  for (const auto pause : {1, 2, 4, 8, 16, 32, 60, 60}) {
    BOOST_TEST(d.answer_failed() == "");
    BOOST_TEST(d.wakes_in() == pause * 1000);
    BOOST_TEST(d.tell(mutated{}) == "");
    BOOST_TEST(d.wait() == "save turn");
  }
  BOOST_TEST(d.answer() == "");
  BOOST_TEST(d.tell(mutated{}) == "save mutation");
}

BOOST_AUTO_TEST_CASE(a_wish_ends_with_its_attempt) {
  auto d = running(only_turns);
  d.tell(turn_ended{});
  d.answer();
  BOOST_TEST(d.tell(turn_ended{}) == "");
  d.exit(verdict::timed_out, "external");
  BOOST_TEST(d.tell(turn_ended{}) == "");  // late, of the one before
  BOOST_TEST(d.tell(started{}) == "");
  BOOST_TEST(d.wakes_in() == 1'000'000);
}

BOOST_AUTO_TEST_CASE(min_gap_counts_from_the_final_checkpoint_of_the_attempt_before) {
  auto d = running(only_turns);
  d.exit(verdict::timed_out, "external");
  d.tell(started{}, 1s);
  BOOST_TEST(d.tell(turn_ended{}, 1s) == "");
  BOOST_TEST(d.wakes_in() == 3'000);
  BOOST_TEST(d.wait() == "save turn");
}

BOOST_AUTO_TEST_SUITE_END()

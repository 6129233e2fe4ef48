// What an agent asks of the machine: a checkpoint, and how long it has left.
#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(requests_of_an_agent)

namespace {

driven running(milliseconds min_gap, milliseconds idle = 0ms) {
  auto l = quiet();
  l.wall = 1000s;
  l.idle = idle;
  l.checkpoints = {.turns = 1, .mutations = true, .interval = 0ms, .min_gap = min_gap};
  driven d(l);
  d.run();
  return d;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_checkpoint_is_taken_on_request) {
  auto d = running(0ms);
  BOOST_TEST(d.tell(checkpoint_requested{}) == "save request");
  BOOST_TEST(d.answer() == "");
  BOOST_TEST(d.wakes_in() == 1'000'000);
}

BOOST_AUTO_TEST_CASE(also_where_no_rule_asks_for_any) {
  driven d(quiet());
  d.run();
  BOOST_TEST(d.tell(checkpoint_requested{}) == "save request");
}

BOOST_AUTO_TEST_CASE(within_min_gap_it_is_postponed_and_not_dropped) {
  auto d = running(5s);
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  d.answer(true, 1s);
  BOOST_TEST(d.tell(checkpoint_requested{}) == "");
  BOOST_TEST(d.wakes_in() == 4'000);
  BOOST_TEST(d.tell(deadline{}, 3s) == "");
  BOOST_TEST(d.wait() == "save request");
}

BOOST_AUTO_TEST_CASE(the_one_in_flight_does_not_do_and_a_merged_one_bears_its_name) {
  auto d = running(0ms);
  BOOST_TEST(d.tell(turn_ended{}) == "save turn");
  BOOST_TEST(d.tell(checkpoint_requested{}) == "");
  BOOST_TEST(d.tell(mutated{}) == "");
  BOOST_TEST(d.answer() == "save request");
  BOOST_TEST(d.answer() == "");
}

BOOST_AUTO_TEST_CASE(one_that_failed_is_tried_again) {
  auto d = running(0ms);
  d.tell(checkpoint_requested{});
  BOOST_TEST(d.answer_failed() == "");
  BOOST_TEST(d.wait() == "save request");
}

BOOST_AUTO_TEST_CASE(who_asks_lives) {
  auto d = running(0ms, 10s);
  d.tell(checkpoint_requested{}, 9s);
  d.answer(false);
  d.tell(deadline{}, 9s);
  BOOST_TEST(d.where() == "running");
}

BOOST_AUTO_TEST_CASE(an_attempt_that_is_being_ended_is_saved_anyway) {
  auto d = running(0ms);
  BOOST_TEST(d.tell(stop{}) == "freeze");
  BOOST_TEST(d.tell(checkpoint_requested{}) == "");
  BOOST_TEST(d.tell(frozen{}) == "save interrupted");
  BOOST_TEST(d.tell(checkpoint_requested{}) == "");
  BOOST_TEST(d.answer() == "signal, thaw");
  BOOST_TEST(d.tell(checkpoint_requested{}) == "");
  BOOST_TEST(d.tell(exited{{verdict::interrupted, {}, {}}}) == "kill");
  BOOST_TEST(d.tell(emptied{}) == "save(final) interrupted");
}

BOOST_AUTO_TEST_CASE(what_is_left_of_its_time) {
  auto l = quiet();
  l.idle = 10s;
  l.first_output = 3s;
  l.soft = 20s;
  driven d(l);
  BOOST_TEST(!d.machine.deadlines().has_value());
  d.run();
  const auto at_first = d.machine.deadlines();
  BOOST_REQUIRE(at_first.has_value());
  BOOST_TEST((at_first->wall == t0 + 100s));
  BOOST_TEST((at_first->soft == t0 + 80s));
  BOOST_TEST((at_first->idle == t0 + 3s));  // `first_output`
  d.tell(output{}, 2s);
  BOOST_TEST((d.machine.deadlines()->idle == t0 + 12s));
  d.lively = true;
  while (d.now < t0 + 80s) d.wait();
  BOOST_TEST(!d.machine.deadlines()->soft.has_value());
  d.tell(stop{});
  BOOST_TEST(!d.machine.deadlines().has_value());
}

BOOST_AUTO_TEST_CASE(without_such_limits_there_is_wall_alone) {
  driven d(quiet());
  d.run();
  const auto left = d.machine.deadlines();
  BOOST_REQUIRE(left.has_value());
  BOOST_TEST(!left->idle.has_value());
  BOOST_TEST(!left->soft.has_value());
}

BOOST_AUTO_TEST_SUITE_END()

// What the machine says of each step, for `remora show --why`.
#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

namespace {

std::string decided(const driven& d) {
  if (!d.last.decided) return "";
  const decision& made = *d.last.decided;
  return fmt::format("{} > {} {}{}", name(made.from), name(made.to), made.fact,
                     made.because.empty() ? "" : ": " + made.because);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decisions)

BOOST_AUTO_TEST_CASE(each_step_of_a_timeout_says_which_and_what_follows) {
  auto l = quiet();
  l.idle = 40s;
  driven d(l);
  d.tell(begin{.counted = 1, .made = 1});
  BOOST_TEST(decided(d) == "idle > preparing begin: 1 of 20 lives");
  d.make(prepared{});
  BOOST_TEST(decided(d) == "preparing > asking prepared");
  d.make(allowed{0, "agent b"});
  BOOST_TEST(decided(d) == "asking > starting allowed: agent b");
  d.tell(started{});
  BOOST_TEST(decided(d) == "starting > running started");
  d.tell(output{});
  BOOST_TEST(decided(d) == "");
  d.wait();
  BOOST_TEST(decided(d) == "running > freezing silent: nothing for 40s, timed_out (idle)");
  d.wait();  // for `frozen`
  BOOST_TEST(decided(d) == "");
  d.answer_failed();
  BOOST_TEST(decided(d) == "freezing > grace save_failed: not saved: disk full");
  d.wait();
  BOOST_TEST(decided(d) == "grace > emptying deadline: still there after 10s");
  d.wait();
  BOOST_TEST(decided(d) == "emptying > saving deadline: somebody of its tree may be left");
  d.answer();
  BOOST_TEST(decided(d) == "saving > preparing saved: timed_out (idle), life 2 of 20");
}

BOOST_AUTO_TEST_CASE(a_wait_and_the_end_of_lives_are_said) {
  auto l = quiet();
  l.attempts = 2;
  driven d(l);
  d.run();
  d.tell(exited{{verdict::failed, "1", {}}});
  BOOST_TEST(decided(d) == "running > emptying exited: failed (1)");
  d.tell(emptied{});
  d.answer();
  BOOST_TEST(decided(d).starts_with("saving > waiting saved: failed (1), life 1 of 2, after "),
             decided(d));
  d.run();
  d.exit(verdict::failed, "1");
  BOOST_TEST(decided(d) == "saving > finished saved: failed (1), life 2 of 2");
}

BOOST_AUTO_TEST_CASE(a_stop_is_said_also_where_it_changes_no_phase) {
  driven d(quiet());
  d.run();
  d.tell(stop{stop_kind::cancel, false});
  BOOST_TEST(decided(d) == "running > freezing stop: cancelled");
  d.tell(stop{stop_kind::interrupt, false});
  BOOST_TEST(decided(d) == "freezing > freezing stop: cancelled");
  d.tell(stop{stop_kind::interrupt, true});
  BOOST_TEST(decided(d) == "freezing > emptying stop: cancelled again");
}

BOOST_AUTO_TEST_CASE(what_a_setup_said_is_said) {
  driven d(quiet());
  d.tell(begin{});
  d.tell(prepare_failed{.verdict = verdict::setup_failed, .detail = "make: no rule"});
  BOOST_TEST(decided(d) == "preparing > finished prepare_failed: setup_failed (make: no rule)");
}

BOOST_AUTO_TEST_SUITE_END()

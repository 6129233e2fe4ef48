// What ends an attempt before its time: a note that was asked for, an error loop, somebody else.
#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(early_end)

BOOST_AUTO_TEST_CASE(who_meets_one_error_for_ever_is_saved_and_ended_for_it) {
  driven d(quiet());
  d.run();
  BOOST_TEST(d.tell(looping{{verdict::context_full, {}, "too long"}}) == "freeze");
  BOOST_TEST(d.tell(looping{{verdict::failed, "loop", {}}}) == "");
  BOOST_TEST(d.tell(frozen{}) == "save error loop");
  BOOST_TEST(d.answer() == "signal, thaw");
  d.tell(exited{{verdict::failed, "143", {}}});
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end context_full +, spawn 2");
}

BOOST_AUTO_TEST_CASE(who_has_left_a_note_when_asked_is_ended_before_its_time) {
  auto l = quiet();
  l.soft = 30s;
  driven d(l);
  d.run();
  BOOST_TEST(d.wait() == "ask for a note, save soft");
  BOOST_TEST((find<ask_for_note>(d.last)->left == 30s));
  d.answer();
  BOOST_TEST(d.tell(handed_over{}, 5s) == "freeze");
  BOOST_TEST(d.tell(frozen{}) == "save timed out: soft");
  // What it reports now is that it has left the note.
  BOOST_TEST(d.tell(exited{{verdict::completed, {}, {}}}) == "kill");
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end timed_out/soft +, spawn 2");
}

BOOST_AUTO_TEST_CASE(somebody_elses_limit_is_no_crash) {
  driven d(quiet());
  d.run();
  BOOST_TEST(d.tell(exited{{verdict::crashed, "SIGTERM", {}}}, 60s) == "kill");
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end timed_out/external +, spawn 2");
}

BOOST_AUTO_TEST_CASE(a_limit_that_was_learnt_is_kept_below) {
  auto l = quiet();
  l.soft = 30s;
  driven d(l);
  d.tell(begin{});
  d.tell(prepared{});
  d.tell(started{50s});
  BOOST_TEST(d.last.decided.value().because == "at most 50s: somebody else ends it soon after");
  BOOST_TEST(d.wait() == "ask for a note, save soft");
  BOOST_TEST((d.now == t0 + 40s));
  d.answer();
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 50s));
  BOOST_TEST(d.last.decided.value().because == "50s since its start, timed_out (wall)");
}

BOOST_AUTO_TEST_SUITE_END()

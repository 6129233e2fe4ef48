// What ends an agent that says nothing, and what shows that it lives all the same.
#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(silence)

namespace {

driven running(const limits& l) {
  driven d(l);
  d.run();
  return d;
}

}  // namespace

BOOST_AUTO_TEST_CASE(P5_silence_ends_an_attempt_whatever_stopped_it) {
  auto l = quiet();
  l.idle = 30s;
  auto d = running(l);
  d.tell(output{}, 20s);
  BOOST_TEST(d.wakes_in() == 7'500);  // a look
  d.tell(worktree_changed{}, 20s);
  BOOST_TEST(d.wakes_in() == 7'500);
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 70s));
  BOOST_TEST(d.looks == 4);
  BOOST_TEST(d.tell(frozen{}) == "save timed out: idle");
}

BOOST_AUTO_TEST_CASE(P14_a_quiet_agent_with_another_sign_of_life_goes_on) {
  auto l = quiet();
  l.idle = 30s;
  l.first_output = 10s;
  auto d = running(l);
  BOOST_TEST(d.wakes_in() == 2'500);
  BOOST_TEST(d.tell(alive{}, 9s) == "");
  BOOST_TEST(d.wakes_in() == 2'500);  // it has not said a word
  BOOST_TEST(d.tell(output{}) == "");
  BOOST_TEST(d.wakes_in() == 7'500);
  for (int i = 0; i < 3; ++i) BOOST_TEST(d.tell(alive{}, 29s) == "");
  BOOST_TEST(d.wakes_in() == 4'000);  // what is left is `wall`
}

BOOST_AUTO_TEST_CASE(P14_an_agent_that_only_a_look_finds_alive_goes_on_until_wall) {
  auto l = quiet();
  l.idle = 8s;
  l.first_output = 4s;
  auto d = running(l);
  d.lively = true;
  while (d.now < t0 + 90s) BOOST_TEST(d.wait() == "");
  BOOST_TEST(d.looks > 40);
  d.lively = false;
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST(d.tell(frozen{}) == "save timed out: first_output");
}

BOOST_AUTO_TEST_CASE(O9_what_we_did_not_run_for_is_not_held_against_an_agent) {
  auto l = quiet();
  l.idle = 80s;
  l.soft = 10s;
  auto d = running(l);
  d.tell(output{}, 15s);
  d.now += 20s + 1h;  // the first look was due an hour ago
  BOOST_TEST(d.make(deadline{}) == "");
  BOOST_TEST(d.last.decided.value().because == "did not run for 1h00m");
  BOOST_TEST(d.wait() == "ask for a note, save soft");
  BOOST_TEST((d.now == t0 + 1h + 90s));
  d.answer();
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 1h + 95s));  // `idle`, of which 20 s had passed before
}

BOOST_AUTO_TEST_CASE(O9_a_silence_that_was_over_is_looked_at_anew) {
  auto l = quiet();
  l.wall = 1h;
  l.idle = 8s;
  auto d = running(l);
  for (int i = 0; i < 3; ++i) BOOST_TEST(d.tell(deadline{}, 2s) == "");
  BOOST_TEST(d.tell(deadline{}, 60s) == "");
  const auto went_on = d.now;
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == went_on + 60s));
}

BOOST_AUTO_TEST_CASE(a_retry_that_is_announced_is_waited_for) {
  auto l = quiet();
  l.idle = 20s;
  l.first_output = 5s;
  auto d = running(l);
  d.tell(retrying{40s}, 1s);
  BOOST_TEST(d.wakes_in() == 45'000);  // a look, a quarter into the silence that follows
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 61s));
  BOOST_TEST(d.tell(frozen{}) == "save timed out: idle");
}

BOOST_AUTO_TEST_CASE(what_a_checkpoint_finds_does_not_shorten_the_wait_for_a_retry) {
  auto l = quiet();
  l.idle = 20s;
  auto d = running(l);
  d.tell(retrying{40s});
  d.tell(worktree_changed{}, 10s);
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 60s));
}

BOOST_AUTO_TEST_CASE(no_retry_is_waited_for_beyond_wall) {
  auto l = quiet();
  l.idle = 20s;
  auto d = running(l);
  d.tell(retrying{1h});
  BOOST_TEST(d.wakes_in() == 100'000);
  BOOST_TEST(d.wait() == "freeze");
}

BOOST_AUTO_TEST_CASE(T1_after_a_suspend_dead_connections_have_a_minute) {
  auto l = quiet();
  l.idle = 30s;
  auto d = running(l);
  d.tell(deadline{}, 7500ms);
  BOOST_TEST(d.tell(woke{}, 22s) == "");  // half a second before it is over
  BOOST_TEST(d.last.decided.value().because == "the machine was suspended");
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 89500ms));
}

BOOST_AUTO_TEST_CASE(T1_who_was_silent_for_long_before_a_suspend_has_a_minute_and_no_more) {
  auto l = quiet();
  l.wall = 1h;
  l.idle = 5min;
  auto d = running(l);
  for (int i = 0; i < 3; ++i) BOOST_TEST(d.tell(deadline{}, 75s) == "");
  BOOST_TEST(d.tell(woke{}, 15s) == "");
  BOOST_TEST(d.wakes_in() > 0);
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 5min));
}

BOOST_AUTO_TEST_CASE(T1_a_suspend_puts_no_other_deadline_off_and_shortens_none) {
  auto l = quiet();
  l.idle = 90s;
  l.soft = 20s;
  auto d = running(l);
  d.tell(output{}, 5s);
  d.tell(woke{}, 1s);
  BOOST_TEST(d.wait() == "ask for a note, save soft");
  BOOST_TEST((d.now == t0 + 80s));
  d.answer();
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST((d.now == t0 + 95s));
  BOOST_TEST(d.tell(woke{}) == "");
}

BOOST_AUTO_TEST_CASE(P14_a_look_at_the_last_moment_counts_and_one_without_an_answer_does_not) {
  auto l = quiet();
  l.idle = 8s;
  auto d = running(l);
  for (int i = 0; i < 4; ++i) {
    d.now = *d.last.wake_at;
    BOOST_TEST(d.make(deadline{}) == "");
    BOOST_TEST(d.make(deadline{}) == "");  // too early
    if (i < 3) d.make(silent{});
  }
  BOOST_TEST(d.wakes_in() == 1'000);
  BOOST_TEST(d.make(alive{}) == "");
  BOOST_TEST(d.wakes_in() == 2'000);
  for (int i = 0; i < 4; ++i) {
    d.now = *d.last.wake_at;
    d.make(deadline{});
  }
  d.now += 999ms;
  BOOST_TEST(d.make(deadline{}) == "");
  d.now += 1ms;
  BOOST_TEST(d.make(deadline{}) == "freeze");
}

BOOST_AUTO_TEST_CASE(each_attempt_must_be_heard_of) {
  auto l = quiet();
  l.first_output = 10s;
  auto d = running(l);
  d.tell(output{});
  d.exit(verdict::context_full);
  d.tell(started{});
  BOOST_TEST(d.wakes_in() == 2'500);
}

BOOST_AUTO_TEST_CASE(nothing_at_all_since_the_start_is_first_output) {
  auto l = quiet();
  l.idle = 30s;
  l.first_output = 10s;
  auto d = running(l);
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST(d.tell(frozen{}) == "save timed out: first_output");
}

BOOST_AUTO_TEST_SUITE_END()

// Whoever is ended by somebody else's limit is told from one that crashed, and its successors stay
// below.
#include <remora/supervise/outer_limits.hpp>

#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(outer)

namespace {

const agent::outcome external{verdict::timed_out, "external", {}};
const agent::outcome killed{verdict::crashed, "SIGKILL", {}};

/// Each attempt begins where the one before ended.
struct one_by_one {
  std::optional<milliseconds> ended(const std::string& agent, const agent::outcome& o,
                                    milliseconds age) {
    const time_point began = std::exchange(now, now + age);
    return limits.ended(agent, o, began, now);
  }
  outer_limits limits;
  time_point now = t0;
};

std::string judged(verdict v, const char* detail, milliseconds age = 2min) {
  return words(judge_exit({v, detail, {}}, age));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_signal_that_asks_is_somebodys_limit) {
  for (const char* signal : {"SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU"})
    BOOST_TEST(judged(verdict::crashed, signal) == "timed_out/external");
  for (const char* code : {"124", "143", "130"})
    BOOST_TEST(judged(verdict::failed, code) == "timed_out/external");
}

BOOST_AUTO_TEST_CASE(any_other_end_is_what_it_was) {
  BOOST_TEST(judged(verdict::crashed, "SIGKILL") == "crashed/SIGKILL");
  BOOST_TEST(judged(verdict::crashed, "SIGSEGV") == "crashed/SIGSEGV");
  BOOST_TEST(judged(verdict::failed, "1") == "failed/1");
  BOOST_TEST(judged(verdict::completed, "") == "completed");
  BOOST_TEST(judged(verdict::crashed, "SIGTERM", 9s) == "crashed/SIGTERM");
}

BOOST_AUTO_TEST_CASE(after_two_at_one_age_the_wall_is_below_it) {
  one_by_one l;
  BOOST_TEST(!l.ended("a", external, 120s));
  BOOST_TEST(!l.limits.wall("a"));
  BOOST_TEST((l.ended("a", external, 121s) == 108s));
  BOOST_TEST((l.limits.wall("a") == 108s));
  BOOST_TEST(!l.ended("a", external, 121s));  // known
  BOOST_TEST(!l.limits.wall("b"));
}

BOOST_AUTO_TEST_CASE(a_kill_that_comes_twice_at_one_age_is_a_limit_too) {
  one_by_one l;
  BOOST_TEST(!l.ended("a", killed, 60s));
  BOOST_TEST((l.ended("a", killed, 60s) == 54s));
}

BOOST_AUTO_TEST_CASE(two_at_different_ages_are_none) {
  one_by_one l;
  BOOST_TEST(!l.ended("a", external, 100s));
  BOOST_TEST(!l.ended("a", external, 120s));
  BOOST_TEST(!l.ended("a", {verdict::failed, "1", {}}, 120s));
  BOOST_TEST((l.ended("a", external, 118s) == 106'200ms));
}

BOOST_AUTO_TEST_CASE(who_is_ended_side_by_side_met_somebody_and_no_limit) {
  outer_limits l;
  BOOST_TEST(!l.ended("a", killed, t0, t0 + 40s));
  BOOST_TEST(!l.ended("a", killed, t0, t0 + 40s));
  BOOST_TEST(!l.ended("a", killed, t0 + 1s, t0 + 40s));
}

BOOST_AUTO_TEST_CASE(who_lives_longer_shows_that_there_is_none) {
  one_by_one l;
  BOOST_TEST(!l.ended("a", killed, 40s));
  BOOST_TEST(!l.ended("a", {verdict::failed, "1", {}}, 60s));
  BOOST_TEST(!l.ended("a", killed, 40s));
}

BOOST_AUTO_TEST_CASE(a_limit_that_has_become_shorter_is_learnt_anew) {
  one_by_one l;
  for (const auto age : {120s, 120s, 60s}) l.ended("a", external, age);
  BOOST_TEST((l.ended("a", external, 60s) == 54s));
}

BOOST_AUTO_TEST_SUITE_END()

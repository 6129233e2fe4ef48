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
  outer_limits l;
  BOOST_TEST(!l.ended("a", external, 120s));
  BOOST_TEST(!l.wall("a"));
  BOOST_TEST((l.ended("a", external, 121s) == 108s));
  BOOST_TEST((l.wall("a") == 108s));
  BOOST_TEST(!l.ended("a", external, 121s));  // known
  BOOST_TEST(!l.wall("b"));
}

BOOST_AUTO_TEST_CASE(a_kill_that_comes_twice_at_one_age_is_a_limit_too) {
  outer_limits l;
  BOOST_TEST(!l.ended("a", killed, 60s));
  BOOST_TEST((l.ended("a", killed, 60s) == 54s));
}

BOOST_AUTO_TEST_CASE(two_at_different_ages_are_none) {
  outer_limits l;
  BOOST_TEST(!l.ended("a", external, 100s));
  BOOST_TEST(!l.ended("a", external, 120s));
  BOOST_TEST(!l.ended("a", {verdict::failed, "1", {}}, 120s));
  BOOST_TEST((l.ended("a", external, 118s) == 106'200ms));
}

BOOST_AUTO_TEST_CASE(a_limit_that_has_become_shorter_is_learnt_anew) {
  outer_limits l;
  l.learnt("a", 108s);
  BOOST_TEST(!l.ended("a", external, 60s));
  BOOST_TEST((l.ended("a", external, 60s) == 54s));
}

BOOST_AUTO_TEST_SUITE_END()

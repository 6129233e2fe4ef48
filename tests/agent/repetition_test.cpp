#include <fmt/format.h>
#include <boost/test/unit_test.hpp>
#include <remora/agent/repetition.hpp>

namespace remora::agent {
namespace {

agent_error error(error_kind kind, std::string text, bool transient = true) {
  return {kind, transient, {}, std::move(text)};
}

/// After how many of them it is told.
std::uint32_t row(repetition& r, const agent_error& e, std::uint32_t most) {
  for (std::uint32_t i = 1; i <= most; ++i)
    if (r.on(e)) return i;
  return 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(error_loops)

BOOST_AUTO_TEST_CASE(the_same_error_twenty_times_is_a_loop_that_is_told_once) {
  repetition r;
  std::uint32_t told = 0;
  for (int i = 1; i < 100; ++i) {
    // What opencode prints for ever (captured): compact, retry, compact.
    r.on(turn_started{});
    r.on(message{"Mock title"});
    r.on(turn_ended{});
    const auto met = r.on(error(error_kind::context, fmt::format("too long: {} tokens", i), false));
    if (!met) continue;
    ++told;
    BOOST_TEST(i == 20);
    BOOST_TEST(name(met->verdict) == "context_full");
    BOOST_TEST(met->text == "20 times the same error: too long: 20 tokens");
  }
  BOOST_TEST(told == 1);
}

BOOST_AUTO_TEST_CASE(an_error_without_a_kind_is_a_failure) {
  repetition r;
  for (int i = 1; i < 20; ++i) BOOST_TEST(!r.on(error(error_kind::other, "no")));
  const auto met = r.on(error(error_kind::other, "no"));
  BOOST_REQUIRE(met);
  BOOST_TEST(name(met->verdict) == "failed");
  BOOST_TEST(met->detail == "loop");
}

BOOST_AUTO_TEST_CASE(a_tool_result_or_another_error_ends_a_row) {
  const auto busy = error(error_kind::overloaded, "529"), lost = error(error_kind::network, "529");
  repetition r;
  BOOST_TEST(row(r, busy, 19) == 0);
  r.on(tool_result{"1", true, "ok"});
  BOOST_TEST(row(r, busy, 19) == 0);
  r.on(lost);
  BOOST_TEST(row(r, busy, 30) == 20);
}

BOOST_AUTO_TEST_CASE(as_many_retries_as_a_cli_makes_are_none) {
  repetition r;
  for (int i = 1; i <= 10; ++i)
    BOOST_TEST(!r.on(error(error_kind::rate_limited, fmt::format("retry {} of 10", i))));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

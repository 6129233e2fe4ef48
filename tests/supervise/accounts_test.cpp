// Accounts: who starts while a quota is used up or a login refused, and who goes first afterwards.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <remora/supervise/accounts.hpp>
#include <vector>

using namespace remora;
using namespace remora::supervise;
using namespace std::chrono_literals;
using agent::verdict;

namespace {

const agent::outcome limited{verdict::rate_limited, {}, "5-hour limit reached"};
const agent::outcome expired{verdict::auth_failed, {}, "Invalid API key"};

/// Accounts with their time, and answers in words.
struct world {
  std::string ask(std::size_t task, std::vector<std::string> names = {"a"}) {
    const auto answer = accounts.ask(task, names, now, 6h);
    if (answer.which) return "go " + names[*answer.which];
    if (answer.again) return fmt::format("in {} s", (*answer.again - now) / 1s);
    return fmt::format("closed {}: {}", answer.account, answer.closed->why.text);
  }
  std::int64_t limit(std::optional<milliseconds> retry_in, const std::string& account = "a") {
    return (*accounts.failed(account, limited, retry_in, now).until - now) / 1ms;
  }

  supervise::accounts accounts{1};
  wall_time now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 23)};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(accounts_)

BOOST_AUTO_TEST_CASE(nothing_starts_on_a_paused_account_before_its_reset) {
  world w;
  BOOST_TEST(w.ask(1) == "go a");
  BOOST_TEST(w.limit(2h) == 7'200'000);
  BOOST_TEST(w.ask(1) == "in 7200 s");
  BOOST_TEST(w.ask(2) == "in 7200 s");
  BOOST_TEST(w.ask(2, {"b"}) == "go b");
  w.now += 7199s;
  BOOST_TEST(w.ask(1) == "in 1 s");
}

BOOST_AUTO_TEST_CASE(after_a_pause_one_goes_first_and_the_others_follow_its_first_turn) {
  world w;
  w.limit(1h);
  w.now += 1h;
  BOOST_TEST(w.ask(1) == "go a");
  BOOST_TEST(w.ask(1) == "go a");  // before it is prepared, and then
  BOOST_TEST(w.ask(2) == "in 60 s");
  BOOST_TEST(!w.accounts.turn_through("a", 2));  // it ran before the pause: that tells nothing
  BOOST_TEST(w.ask(2) == "in 60 s");
  BOOST_TEST(w.accounts.turn_through("a", 1));
  BOOST_TEST(w.ask(2) == "go a");
  BOOST_TEST(w.ask(3) == "go a");
}

BOOST_AUTO_TEST_CASE(where_the_first_one_ends_or_takes_long_another_one_goes) {
  world w;
  w.limit(1h);
  w.now += 1h;
  w.ask(1);
  w.accounts.ended(1);
  BOOST_TEST(w.ask(2) == "go a");
  BOOST_TEST(w.ask(3) == "in 60 s");
  w.now += 60s;
  BOOST_TEST(w.ask(3) == "go a");
  BOOST_TEST(w.ask(4) == "in 60 s");
}

BOOST_AUTO_TEST_CASE(a_turn_of_any_of_those_that_were_let_go_opens_the_account) {
  world w;
  w.limit(1h);
  w.now += 1h;
  for (const std::size_t task : {1u, 2u, 3u}) {
    BOOST_TEST(w.ask(task) == "go a");
    w.now += 60s;
  }
  BOOST_TEST(w.accounts.turn_through("a", 1));
  BOOST_TEST(w.ask(4) == "go a");
  BOOST_TEST(w.ask(5) == "go a");
}

BOOST_AUTO_TEST_CASE(who_was_let_go_before_another_run_paused_it_anew_tells_nothing) {
  world w, other;
  w.limit(1h);
  other.accounts.replace(w.accounts.pauses(), w.now);
  w.now += 1h;
  w.ask(1);
  other.now = w.now + 1s;
  other.limit(5h);
  w.accounts.replace(other.accounts.pauses(), w.now);
  BOOST_TEST(!w.accounts.turn_through("a", 1));
  BOOST_TEST(w.ask(2) == "in 18001 s");
}

BOOST_AUTO_TEST_CASE(a_reset_that_did_not_help_or_was_not_told_is_no_tight_loop) {
  world w;
  for (const auto s : {1, 60, 120, 240, 480, 900, 900}) {
    BOOST_TEST(w.limit(1s) == s * 1000);
    w.now += 1s * s;
    BOOST_TEST(w.ask(1) == "go a");
  }
  for (const auto none : {std::optional<milliseconds>(), {-5s}, {0s}}) {
    world v;
    for (const auto s : {60, 120, 240}) {
      const auto wait = v.limit(none);
      BOOST_TEST(wait >= s * 800);
      BOOST_TEST(wait <= s * 1200);
      v.now += 1ms * wait;
    }
  }
}

BOOST_AUTO_TEST_CASE(a_turn_that_was_through_begins_the_waits_anew) {
  world w;
  w.limit(1s);
  w.now += 1s;
  w.ask(1);
  w.accounts.turn_through("a", 1);
  BOOST_TEST(w.limit(1s) == 1000);
}

BOOST_AUTO_TEST_CASE(many_that_end_at_once_are_one_pause_and_the_latest_reset_counts) {
  world w;
  w.limit(1h);
  const auto since = w.now;
  w.now += 10s;
  w.limit(2h);
  BOOST_TEST(w.limit({}) == 7'200'000);
  BOOST_TEST((w.accounts.pauses().at("a").since == since));
  BOOST_TEST(w.accounts.pauses().at("a").row == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_of_the_list_whose_account_is_open_goes) {
  world w;
  w.limit(1h, "a");
  BOOST_TEST(w.ask(1, {"a", "b"}) == "go b");
  w.limit(30min, "b");
  BOOST_TEST(w.ask(1, {"a", "b"}) == "in 1800 s");
  w.now += 1h;
  BOOST_TEST(w.ask(1, {"a", "b"}) == "go a");
  BOOST_TEST(w.ask(2, {"a", "b"}) == "go b");  // each has one that goes first
  BOOST_TEST(w.ask(3, {"a", "b"}) == "in 60 s");
}

BOOST_AUTO_TEST_CASE(a_refused_login_or_a_far_reset_closes_and_what_lasts_shortest_is_told) {
  world w;
  w.accounts.failed("a", expired, {}, w.now);
  BOOST_TEST(w.ask(1) == "closed a: Invalid API key");
  w.now += 1000h;
  BOOST_TEST(w.ask(1) == "closed a: Invalid API key");
  w.limit(6h, "b");
  BOOST_TEST(w.ask(1, {"a", "b"}) == "in 21600 s");
  w.limit(6h + 1ms, "b");
  BOOST_TEST(w.ask(1, {"a", "b"}) == "closed b: 5-hour limit reached");
  BOOST_TEST(w.ask(1, {"b", "a"}) == "closed b: 5-hour limit reached");
  BOOST_TEST(w.ask(1, {"b", "a", "c"}) == "go c");
}

BOOST_AUTO_TEST_CASE(what_another_run_learnt_counts_and_a_later_life_tries_a_login_again) {
  world w, other;
  w.accounts.failed("a", expired, {}, w.now);
  w.limit(1h, "b");
  other.now = w.now += 1min;
  other.accounts.replace(w.accounts.pauses(), w.now - 1h);
  BOOST_TEST(other.ask(1) == "closed a: Invalid API key");
  BOOST_TEST(other.ask(1, {"b"}) == "in 3540 s");
  other.accounts.replace(w.accounts.pauses(), w.now);  // a person has started it since
  BOOST_TEST(other.ask(1) == "go a");
  BOOST_TEST(other.ask(2) == "in 60 s");
  BOOST_TEST(other.accounts.turn_through("a", 1));
  w.accounts.replace(other.accounts.pauses(), w.now);
  BOOST_TEST(w.ask(1) == "go a");
}

BOOST_AUTO_TEST_SUITE_END()

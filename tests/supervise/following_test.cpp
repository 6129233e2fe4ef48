// What follows a verdict: successors, waits, counting, giving up.
#include <fstream>
#include <sstream>

#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(following)

namespace {

driven running(limits l = quiet(), std::uint64_t seed = 1) {
  driven d(l, seed);
  d.run();
  return d;
}

/// Where it has asked for an account, and nobody has answered.
driven asking(limits l = quiet()) {
  driven d(l);
  d.grants = false;
  d.tell(begin{});
  BOOST_TEST(d.tell(prepared{}) == "ask 0");
  return d;
}

limits verified_task() {
  auto l = quiet();
  l.verifies = true;
  return l;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_verdict_of_a_first_attempt) {
  const std::vector<std::pair<agent::outcome, const char*>> table{
      {{verdict::completed, {}, {}}, "end completed -, publish"},
      {{verdict::timed_out, "external", {}}, "end timed_out/external +, spawn 2"},
      {{verdict::failed, "3", {}}, "end failed/3 +, back_off 1000ms"},
      {{verdict::crashed, "SIGSEGV", {}}, "end crashed/SIGSEGV +, back_off 1000ms"},
      {{verdict::context_full, {}, {}}, "end context_full +, spawn 2"},
      {{verdict::overloaded, {}, {}}, "end overloaded -, back_off 5000ms"},
      {{verdict::network, {}, {}}, "end network -, back_off 5000ms"},
      {{verdict::rate_limited, {}, {}}, "end rate_limited -, spawn 2"},
      {{verdict::auth_failed, {}, {}}, "end auth_failed -, spawn 2"},
      {{verdict::refused, {}, {}}, "end refused +, finish failed refused"},
      {{verdict::budget, "turns", {}}, "end budget/turns -, finish interrupted budget/turns"},
      {{verdict::interrupted, {}, {}}, "end interrupted -, finish interrupted interrupted"},
      {{verdict::cancelled, {}, {}}, "end cancelled -, finish cancelled cancelled"},
  };
  for (const auto& [concluded, expected] : table) {
    BOOST_TEST_CONTEXT(agent::name(concluded.verdict)) {
      auto d = running();
      BOOST_TEST(d.exit(concluded.verdict, concluded.detail) == expected);
    }
  }
}

BOOST_AUTO_TEST_CASE(P11_a_crash_loop_backs_off_and_ends) {
  auto l = quiet();
  l.attempts = 9;
  auto d = running(l);
  for (const auto base : {1, 2, 4, 8, 16, 32, 60, 60}) {
    const auto number = std::to_string(d.machine.attempt());
    BOOST_TEST(d.exit(verdict::failed, number) ==
               fmt::format("end failed/{} +, back_off {}ms", number, base * 1000));
    BOOST_TEST(d.wakes_in() >= base * 800);
    BOOST_TEST(d.wakes_in() <= base * 1200);
    d.run();
  }
  BOOST_TEST(d.exit(verdict::failed, "1") == "end failed/1 +, finish failed failed/1");
  BOOST_TEST(d.machine.counted() == 9u);
}

BOOST_AUTO_TEST_CASE(
    P11_a_shim_killed_before_its_agent_started_is_a_crash_until_attempts_are_used_up) {
  auto l = quiet();
  l.attempts = 4;
  driven d(l);
  d.tell(begin{});
  d.tell(prepared{});
  const spawn_failed killed{"the shim was killed by SIGKILL", true};
  for (const auto base : {1, 2, 4}) {
    BOOST_TEST(d.tell(killed) == fmt::format("end crashed/shim +, back_off {}ms", base * 1000));
    const auto again = fmt::format("spawn {}", d.machine.attempt() + 1);  // in the same slot
    BOOST_TEST(d.wait() == again);
  }
  BOOST_TEST(d.tell(killed) == "end crashed/shim +, finish failed crashed/shim");
}

BOOST_AUTO_TEST_CASE(P10_a_start_that_lacked_a_process_is_tried_again_ever_later) {
  auto l = quiet();
  l.attempts = 3;
  driven d(l);
  d.tell(begin{});
  d.tell(prepared{});
  const spawn_failed lacks{"cannot start sh: EAGAIN", false, true};
  for (const auto base : {1, 2}) {
    BOOST_TEST(d.tell(lacks) ==
               fmt::format("end crashed/not_started +, back_off {}ms", base * 1000));
    const auto next = d.machine.attempt() + 1;
    BOOST_TEST(d.wait() == fmt::format("spawn {}", next));
  }
  BOOST_TEST(d.tell(lacks) == "end crashed/not_started +, finish failed crashed/not_started");
}

BOOST_AUTO_TEST_CASE(an_agent_that_cannot_be_started_is_not_tried_again) {
  driven d(quiet());
  d.tell(begin{});
  d.tell(prepared{});
  BOOST_TEST(d.tell(spawn_failed{"ENOENT"}) ==
             "end spawn_failed/ENOENT -, finish failed spawn_failed/ENOENT");
}

BOOST_AUTO_TEST_CASE(a_stop_while_the_shim_is_killed_interrupts) {
  driven d(quiet());
  d.tell(begin{});
  d.tell(prepared{});
  d.tell(stop{});
  BOOST_TEST(d.tell(spawn_failed{"SIGKILL", true}) ==
             "end crashed/shim +, finish interrupted crashed/shim");
}

BOOST_AUTO_TEST_CASE(a_preparation_that_is_killed_is_made_again_three_times_in_a_row_at_most) {
  const prepare_failed killed{verdict::setup_failed, "killed by SIGKILL", true};
  driven d(quiet());
  BOOST_TEST(d.tell(begin{}) == "prepare");
  for (const auto base : {1, 2}) {
    BOOST_TEST(d.tell(killed) == fmt::format("back_off {}ms", base * 1000));
    BOOST_TEST(d.wakes_in() >= base * 800);
    BOOST_TEST(d.wakes_in() <= base * 1200);
    BOOST_TEST(d.wait() == "prepare");
  }
  BOOST_TEST(d.tell(killed) == "finish failed setup_failed/killed by SIGKILL");
  BOOST_TEST(d.machine.counted() == 0u);
}

BOOST_AUTO_TEST_CASE(a_preparation_that_is_killed_once_costs_no_attempt) {
  const prepare_failed killed{verdict::setup_failed, "killed by SIGKILL", true};
  auto l = quiet();
  l.attempts = 1;
  driven d(l);
  d.tell(begin{});
  d.tell(killed);
  d.wait();
  BOOST_TEST(d.tell(prepared{}) == "spawn 1");
}

BOOST_AUTO_TEST_CASE(a_task_that_waits_to_be_prepared_again_stops_at_once) {
  driven d(quiet());
  d.tell(begin{});
  d.tell(prepare_failed{verdict::setup_failed, "killed by SIGKILL", true});
  BOOST_TEST(d.tell(stop{}) == "finish interrupted interrupted");
}

BOOST_AUTO_TEST_CASE(a_slot_for_the_verification_is_made_again_too) {
  auto d = running(verified_task());
  d.tell(exited{{verdict::completed, {}, {}}});
  d.wait();
  BOOST_TEST(d.answer() == "prepare");
  BOOST_TEST(d.tell(prepare_failed{verdict::setup_failed, "killed", true}) == "back_off 1000ms");
  BOOST_TEST(d.wait() == "prepare");
  BOOST_TEST(d.tell(prepared{}) == "verify");
}

BOOST_AUTO_TEST_CASE(another_verdict_begins_its_wait_anew) {
  auto d = running();
  d.exit(verdict::failed, "1");
  d.run();
  d.exit(verdict::failed, "1");
  d.run();
  BOOST_TEST(d.exit(verdict::network) == "end network -, back_off 5000ms");
  d.run();
  BOOST_TEST(d.exit(verdict::failed, "1") == "end failed/1 +, back_off 1000ms");
}

BOOST_AUTO_TEST_CASE(jitter_comes_from_the_seed) {
  std::vector<std::int64_t> waits;
  for (const std::uint64_t seed : {7u, 7u, 8u, 9u}) {
    auto d = running(quiet(), seed);
    d.exit(verdict::failed, "1");
    waits.push_back(d.wakes_in());
  }
  BOOST_TEST(waits[0] == waits[1]);
  BOOST_TEST((waits[0] != waits[2] || waits[0] != waits[3]));
}

BOOST_AUTO_TEST_CASE(an_overload_counts_after_half_an_hour_in_a_row) {
  auto d = running();
  const auto since = d.now;
  while (d.now - since < 30min) {
    BOOST_TEST_REQUIRE(d.exit(verdict::overloaded).starts_with("end overloaded -"));
    d.run();
  }
  BOOST_TEST(d.exit(verdict::overloaded) == "end overloaded +, back_off 300000ms");
}

BOOST_AUTO_TEST_CASE(who_is_denied_an_account_is_interrupted_and_goes_on_later) {
  for (const auto v : {verdict::rate_limited, verdict::auth_failed}) {
    auto d = running();
    d.grants = false;
    BOOST_TEST(d.exit(v) == fmt::format("end {} -, ask 0", agent::name(v)));
    BOOST_TEST(d.where() == "asking");
    BOOST_TEST(d.wakes_in() == -1);
    BOOST_TEST(d.tell(deadline{}, 5h) == "");
    BOOST_TEST(d.tell(denied{{v, "quota", {}}}) ==
               fmt::format("finish interrupted {}/quota", agent::name(v)));
  }
}

BOOST_AUTO_TEST_CASE(who_waits_for_an_account_stops_at_once_and_begins_when_it_may) {
  driven d = asking();
  driven stopped = d;
  BOOST_TEST(stopped.tell(stop{}) == "finish interrupted interrupted");
  driven spent = d;
  BOOST_TEST(spent.tell(over_budget{"tokens", {}}) == "finish interrupted budget/tokens");
  BOOST_TEST(d.tell(allowed{0, "account a"}, 2h) == "spawn 1");
  BOOST_TEST(d.last.decided->because == "account a");
  BOOST_TEST(d.tell(allowed{}) == "");
}

BOOST_AUTO_TEST_CASE(the_next_agent_of_the_list_takes_over_where_one_refuses_or_gets_nowhere) {
  auto l = quiet();
  l.agents = 3;
  driven d = asking(l);
  const auto next = [&](verdict v, bool changed) {
    d.tell(allowed{.agent = find<ask>(d.last)->agent, .words = {}});
    d.tell(started{});
    return d.exit(v, {}, changed);
  };
  BOOST_TEST(next(verdict::refused, true) == "end refused +, ask 1");
  BOOST_TEST(d.last.decided->because.ends_with("the next agent of its list"));
  BOOST_TEST(find<end_attempt>(d.last)->agent == 1u);
  BOOST_TEST(next(verdict::timed_out, false) == "end timed_out +, ask 1");
  BOOST_TEST(next(verdict::timed_out, false) == "end timed_out +, ask 2");
  BOOST_TEST(next(verdict::rate_limited, true) == "end rate_limited -, ask 2");
  BOOST_TEST(next(verdict::refused, true) == "end refused +, finish failed refused");
}

BOOST_AUTO_TEST_CASE(who_refuses_is_passed_over_with_those_before_it_that_were_paused) {
  auto l = quiet();
  l.agents = 3;
  driven d = asking(l);
  d.tell(allowed{.agent = 1, .words = {}});
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::refused) == "end refused +, ask 2");
  d.tell(allowed{.agent = 2, .words = {}});
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::refused) == "end refused +, finish failed refused");
}

BOOST_AUTO_TEST_CASE(a_resumed_task_goes_on_with_the_agent_it_had_come_to) {
  auto l = quiet();
  l.agents = 2;
  for (const auto& [agent, asked] : {std::pair{0u, "ask 0"}, {1u, "ask 1"}, {7u, "ask 1"}}) {
    driven d(l);
    d.grants = false;
    d.tell(begin{.counted = 1, .made = 1, .agent = agent});
    BOOST_TEST(d.tell(prepared{}) == asked);
  }
}

BOOST_AUTO_TEST_CASE(uncounted_lives_do_not_use_up_the_attempts) {
  auto l = quiet();
  l.attempts = 2;
  auto d = running(l);
  for (int i = 0; i < 5; ++i) {
    d.exit(verdict::rate_limited);
    d.run();
  }
  BOOST_TEST(d.exit(verdict::timed_out, "external") == "end timed_out/external +, spawn 7");
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::timed_out, "external") ==
             "end timed_out/external +, finish failed timed_out/external");
  BOOST_TEST(d.machine.attempt() == 7u);
}

BOOST_AUTO_TEST_CASE(a_resumed_task_goes_on_counting) {
  auto l = quiet();
  l.attempts = 3;
  driven d(l);
  d.tell(begin{.counted = 2, .made = 6});
  BOOST_TEST(d.tell(prepared{}) == "spawn 7");
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::failed, "1") == "end failed/1 +, finish failed failed/1");
}

BOOST_AUTO_TEST_CASE(a_resumed_task_without_attempts_left_has_failed) {
  driven d(quiet());
  BOOST_TEST(d.tell(begin{.counted = 20}) == "finish failed failed/attempts");
}

BOOST_AUTO_TEST_CASE(out_of_attempts_is_a_failure_even_when_stopped) {
  auto l = quiet();
  l.attempts = 1;
  auto d = running(l);
  d.tell(exited{{verdict::failed, "1", {}}});
  d.tell(stop{});
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end failed/1 +, finish failed failed/1");
}

// --- completed ---

BOOST_AUTO_TEST_CASE(P16_success_is_what_verification_says) {
  auto d = running(verified_task());
  BOOST_TEST(d.exit(verdict::completed) == "verify");
  BOOST_TEST(d.tell(verified{false}) == "end verify_failed +, spawn 2");
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::completed) == "verify");
  BOOST_TEST(d.tell(verified{true}) == "end completed -, publish");
  BOOST_TEST(d.tell(published{}) == "finish succeeded completed");
}

BOOST_AUTO_TEST_CASE(P16_a_success_that_changed_nothing_says_so) {
  auto d = running();
  BOOST_TEST(d.exit(verdict::completed, {}, false) == "end completed/no_changes -, publish");
  BOOST_TEST(d.tell(published{}) == "finish succeeded completed/no_changes");
}

BOOST_AUTO_TEST_CASE(changes_of_an_attempt_before_are_changes_of_the_task) {
  auto d = running();
  d.exit(verdict::timed_out, "external", true);
  d.tell(started{});
  BOOST_TEST(d.exit(verdict::completed, {}, false) == "end completed -, publish");

  driven resumed(quiet());
  resumed.tell(begin{.counted = 1, .made = 1, .changed = true});
  resumed.run();
  BOOST_TEST(resumed.exit(verdict::completed, {}, false) == "end completed -, publish");
}

BOOST_AUTO_TEST_CASE(without_its_final_checkpoint_nothing_is_published) {
  for (const bool late : {false, true}) {
    auto d = running();
    d.tell(exited{{verdict::completed, {}, {}}});
    d.tell(emptied{});
    BOOST_TEST((late ? d.wait() : d.answer_failed()) ==
               "end completed/not_saved -, finish interrupted completed/not_saved");
  }
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_published_can_be_resumed) {
  auto d = running();
  d.exit(verdict::completed);
  BOOST_TEST(d.tell(publish_failed{"the branch has moved"}) ==
             "finish interrupted completed/not_published");
}

BOOST_AUTO_TEST_CASE(a_failed_final_checkpoint_does_not_end_the_chain) {
  auto d = running();
  d.tell(exited{{verdict::context_full, {}, {}}});
  d.tell(emptied{});
  BOOST_TEST(d.answer_failed() == "end context_full +, spawn 2");
}

// --- no progress ---

BOOST_AUTO_TEST_CASE(two_attempts_in_a_row_without_progress_are_the_last) {
  auto d = running();
  BOOST_TEST(d.exit(verdict::failed, "1", false) == "end failed/1 +, back_off 1000ms");
  d.run();
  BOOST_TEST(d.exit(verdict::timed_out, "external", false) ==
             "end timed_out/external +, finish failed no_progress/timed_out");
}

BOOST_AUTO_TEST_CASE(the_row_without_progress_begins_after_the_last_attempt_with_some) {
  auto d = running();
  for (const bool changed : {false, true, false}) {
    d.exit(verdict::context_full, {}, changed);
    BOOST_TEST(d.where() == "starting");
    d.tell(started{});
  }
  BOOST_TEST(d.exit(verdict::context_full, {}, false) ==
             "end context_full +, finish failed no_progress/context_full");
}

BOOST_AUTO_TEST_CASE(progress_without_changed_files_is_progress) {
  auto d = running();
  for (int i = 0; i < 4; ++i) {
    d.tell(exited{{verdict::context_full, {}, {}}});
    d.tell(emptied{});
    BOOST_TEST(d.tell(saved{.token = d.token, .changed = false, .progressed = true}) ==
               fmt::format("end context_full +, spawn {}", i + 2));
    d.tell(started{});
  }
}

BOOST_AUTO_TEST_CASE(attempts_that_others_ended_tell_nothing_about_progress) {
  for (const auto v :
       {verdict::rate_limited, verdict::auth_failed, verdict::overloaded, verdict::network}) {
    auto d = running();
    for (int i = 0; i < 4; ++i) {
      BOOST_TEST(d.exit(v, {}, false).find("finish") == std::string::npos);
      d.run();
    }
    d.exit(verdict::failed, "1", false);
    d.run();
    d.exit(v, {}, false);  // in between it does not begin the row anew
    d.run();
    BOOST_TEST(d.exit(verdict::failed, "1", false) ==
               "end failed/1 +, finish failed no_progress/failed");
  }
}

BOOST_AUTO_TEST_CASE(what_could_not_be_saved_may_have_been_progress) {
  auto l = quiet();
  l.checkpoints.turns = 1;
  auto d = running(l);
  for (int i = 0; i < 4; ++i) {
    d.tell(turn_ended{});
    d.tell(exited{{verdict::context_full, {}, {}}});
    d.tell(emptied{});
    d.tell(saved{.token = d.token - 1, .changed = false, .progressed = false});
    BOOST_TEST(d.answer_failed() == fmt::format("end context_full +, spawn {}", i + 2));
    d.tell(started{});
  }
}

BOOST_AUTO_TEST_CASE(a_late_answer_belongs_to_the_attempt_before) {
  auto d = running();
  d.tell(exited{{verdict::context_full, {}, {}}});
  d.tell(emptied{});
  const auto late = d.token;
  d.wait();
  for (int i = 0; i < 2; ++i) {
    BOOST_TEST(d.where() == "starting");
    d.tell(started{});
    d.tell(saved{.token = late, .changed = true});
    d.exit(verdict::context_full, {}, false);
  }
  BOOST_TEST(d.where() == "finished");
}

// --- the table ---

BOOST_AUTO_TEST_CASE(every_verdict_has_its_rule) {
  BOOST_TEST(rules().size() == static_cast<std::size_t>(verdict::cancelled) + 1);
  for (const auto& r : rules()) {
    BOOST_TEST(&rule_of(r.verdict) == &r);
    BOOST_TEST((r.first_wait <= r.longest_wait));
  }
}

BOOST_AUTO_TEST_CASE(waits_double_without_overflow) {
  BOOST_TEST((doubled(1s, 0, 60s) == 1s));
  BOOST_TEST((doubled(1s, 5, 60s) == 32s));
  BOOST_TEST((doubled(1s, 6, 60s) == 60s));
  BOOST_TEST((doubled(1s, 4'000'000'000u, 60s) == 60s));
  BOOST_TEST((doubled(0s, 4'000'000'000u, 60s) == 0s));
  BOOST_TEST((doubled(7s, 3, 5s) == 5s));
  BOOST_TEST((doubled(1ms, 70, milliseconds::max()) == milliseconds::max()));
}

BOOST_AUTO_TEST_CASE(the_page_shows_the_table_of_the_code) {
  const auto span = [](milliseconds d) -> std::string {
    return d == 0ms                    ? "–"
           : d % 60s == 0ms && d > 60s ? fmt::format("{} m", d / 1min)
                                       : fmt::format("{} s", d / 1s);
  };
  std::string expected =
      "| verdict | what follows | counts | wait |\n"
      "|---|---|---|---|\n";
  for (const auto& r : rules()) {
    const std::string counts = !r.counts           ? "no"
                               : r.free_for == 0ms ? "yes"
                                                   : "after " + span(r.free_for) + " in a row";
    const std::string wait =
        r.first_wait == 0ms ? "–"
                            : fmt::format("{} × 2ⁿ ≤ {}", span(r.first_wait), span(r.longest_wait));
    expected += fmt::format("| `{}` | {} | {} | {} |\n", agent::name(r.verdict), name(r.then),
                            counts, wait);
  }
  std::ifstream file(REMORA_SOURCE_DIR "/docs/supervision.md");
  std::ostringstream page;
  page << file.rdbuf();
  BOOST_TEST(page.str().find(expected) != std::string::npos,
             "docs/supervision.md lacks this table:\n"
                 << expected);
}

BOOST_AUTO_TEST_SUITE_END()

// How an attempt is ended: the state × event table, and the ways through it.
#include <functional>

#include "words.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

BOOST_AUTO_TEST_SUITE(ending)

namespace {

// Leads a new machine to `p`, by way of a timeout where there are several.
driven at(phase p, limits l = quiet()) {
  driven d(l);
  const std::vector<std::pair<phase, std::function<void()>>> way{
      {phase::preparing, [&] { d.tell(begin{}); }},
      {phase::starting, [&] { d.tell(prepared{}); }},
      {phase::running, [&] { d.tell(started{}); }},
      {phase::freezing, [&] { d.wait(); }},
      {phase::grace, [&] { d.tell(frozen{}), d.answer(); }},
      {phase::emptying, [&] { d.wait(); }},
      {phase::saving, [&] { d.tell(emptied{}); }},
  };
  for (const auto& [reached, go] : way) {
    if (d.machine.phase() == p) break;
    go();
    BOOST_REQUIRE(d.machine.phase() == reached);
  }
  return d;
}

driven waiting() {
  auto d = at(phase::running);
  d.exit(verdict::failed, "1");
  BOOST_REQUIRE(d.machine.phase() == phase::waiting);
  return d;
}

driven frozen_and_saving() {
  auto d = at(phase::freezing);
  d.tell(frozen{});
  return d;
}

driven verifying() {
  auto l = quiet();
  l.verifies = true;
  auto d = at(phase::running, l);
  d.exit(verdict::completed);
  return d;
}

driven publishing() {
  auto d = at(phase::running);
  d.exit(verdict::completed);
  return d;
}

const exited failed_with_1{{verdict::failed, "1", {}}};
const stop ctrl_c{};
const stop second_ctrl_c{stop_kind::interrupt, true};
const stop cancel{stop_kind::cancel, false};

struct cell {
  const char* row;
  driven from;
  const char* column;
  std::function<std::string(driven&)> tell;
  const char* actions;
  const char* then;
};

auto telling(fact f) {
  return [f = std::move(f)](driven& d) { return d.tell(f); };
}
std::string next_deadline(driven& d) {
  return d.wait();
}
std::string is_saved(driven& d) {
  return d.answer();
}
std::string save_fails(driven& d) {
  return d.answer_failed();
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_cell_of_the_table) {
  const char* const timed_out = "end timed_out/wall +, spawn 2";
  const std::vector<cell> table{
      {"waiting", waiting(), "deadline", next_deadline, "spawn 2", "starting"},
      {"waiting", waiting(), "output", telling(output{}), "", "waiting"},
      {"waiting", waiting(), "exited", telling(failed_with_1), "", "waiting"},
      {"waiting", waiting(), "saved", is_saved, "", "waiting"},
      {"waiting", waiting(), "stop", telling(ctrl_c), "finish interrupted failed/1", "finished"},
      {"waiting", waiting(), "cancel", telling(cancel), "finish cancelled failed/1", "finished"},

      {"preparing", at(phase::preparing), "stop", telling(ctrl_c), "finish interrupted interrupted",
       "finished"},
      {"preparing", at(phase::preparing), "failed",
       telling(prepare_failed{verdict::setup_failed, "npm"}), "finish failed setup_failed/npm",
       "finished"},
      {"preparing", at(phase::preparing), "killed",
       telling(prepare_failed{verdict::setup_failed, "SIGKILL", true}), "back_off 1000ms",
       "waiting"},
      {"preparing", at(phase::preparing), "damaged",
       telling(prepare_failed{verdict::setup_failed, "base", false, true}),
       "finish interrupted setup_failed/damaged", "finished"},
      {"starting", at(phase::starting), "stop", telling(ctrl_c), "", "starting"},
      {"starting", at(phase::starting), "failed", telling(spawn_failed{"ENOENT"}),
       "end spawn_failed/ENOENT -, finish failed spawn_failed/ENOENT", "finished"},
      {"starting", at(phase::starting), "shim killed", telling(spawn_failed{"SIGKILL", true}),
       "end crashed/shim +, back_off 1000ms", "waiting"},
      {"starting", at(phase::starting), "exited", telling(failed_with_1), "kill", "emptying"},

      {"running", at(phase::running), "deadline", next_deadline, "freeze", "freezing"},
      {"running", at(phase::running), "output", telling(output{}), "", "running"},
      {"running", at(phase::running), "exited", telling(failed_with_1), "kill", "emptying"},
      {"running", at(phase::running), "emptied", telling(emptied{}), "save(final) exit", "saving"},
      {"running", at(phase::running), "saved", is_saved, "", "running"},
      {"running", at(phase::running), "budget", telling(over_budget{"tokens", {}}), "freeze",
       "freezing"},
      {"running", at(phase::running), "stop", telling(ctrl_c), "freeze", "freezing"},
      {"running", at(phase::running), "insist", telling(second_ctrl_c), "kill", "emptying"},

      {"freezing", at(phase::freezing), "frozen", telling(frozen{}), "save timed out: wall",
       "freezing"},
      {"freezing", at(phase::freezing), "frozen in part", telling(frozen{false}),
       "save(unfrozen) timed out: wall", "freezing"},
      {"freezing", at(phase::freezing), "deadline", next_deadline, "save(unfrozen) timed out: wall",
       "freezing"},
      {"freezing", at(phase::freezing), "output", telling(output{}), "", "freezing"},
      {"freezing", at(phase::freezing), "exited", telling(failed_with_1), "kill", "emptying"},
      {"freezing", at(phase::freezing), "emptied", telling(emptied{}),
       "save(final) timed out: wall", "saving"},
      {"freezing", at(phase::freezing), "stop", telling(ctrl_c), "", "freezing"},
      {"freezing", at(phase::freezing), "insist", telling(second_ctrl_c), "kill", "emptying"},
      {"frozen", frozen_and_saving(), "deadline", next_deadline, "signal, thaw", "grace"},
      {"frozen", frozen_and_saving(), "frozen", telling(frozen{}), "", "freezing"},
      {"frozen", frozen_and_saving(), "output", telling(output{}), "", "freezing"},
      {"frozen", frozen_and_saving(), "exited", telling(failed_with_1), "kill", "emptying"},
      {"frozen", frozen_and_saving(), "saved", is_saved, "signal, thaw", "grace"},
      {"frozen", frozen_and_saving(), "save failed", save_fails, "signal, thaw", "grace"},
      {"frozen", frozen_and_saving(), "stop", telling(ctrl_c), "", "freezing"},
      {"frozen", frozen_and_saving(), "insist", telling(second_ctrl_c), "kill", "emptying"},

      {"grace", at(phase::grace), "deadline", next_deadline, "kill", "emptying"},
      {"grace", at(phase::grace), "output", telling(output{}), "", "grace"},
      {"grace", at(phase::grace), "exited", telling(failed_with_1), "kill", "emptying"},
      {"grace", at(phase::grace), "emptied", telling(emptied{}), "save(final) timed out: wall",
       "saving"},
      {"grace", at(phase::grace), "saved", is_saved, "", "grace"},
      {"grace", at(phase::grace), "stop", telling(ctrl_c), "kill", "emptying"},

      {"emptying", at(phase::emptying), "deadline", next_deadline,
       "quarantine, save(final) timed out: wall", "saving"},
      {"emptying", at(phase::emptying), "output", telling(output{}), "", "emptying"},
      {"emptying", at(phase::emptying), "exited", telling(failed_with_1), "", "emptying"},
      {"emptying", at(phase::emptying), "emptied", telling(emptied{}),
       "save(final) timed out: wall", "saving"},
      {"emptying", at(phase::emptying), "not proven empty", telling(emptied{false}),
       "quarantine, save(final) timed out: wall", "saving"},
      {"emptying", at(phase::emptying), "stop", telling(ctrl_c), "", "emptying"},

      {"saving", at(phase::saving), "deadline", next_deadline, timed_out, "starting"},
      {"saving", at(phase::saving), "output", telling(output{}), "", "saving"},
      {"saving", at(phase::saving), "saved", is_saved, timed_out, "starting"},
      {"saving", at(phase::saving), "save failed", save_fails, timed_out, "starting"},
      {"saving", at(phase::saving), "stop", telling(ctrl_c), "", "saving"},

      {"verifying", verifying(), "verified", telling(verified{true}), "end completed -, publish",
       "publishing"},
      {"verifying", verifying(), "not verified", telling(verified{false}),
       "end verify_failed +, spawn 2", "starting"},
      {"verifying", verifying(), "stop", telling(ctrl_c),
       "end interrupted -, finish interrupted interrupted", "finished"},
      {"publishing", publishing(), "published", telling(published{}), "finish succeeded completed",
       "finished"},
      {"publishing", publishing(), "failed", telling(publish_failed{"moved"}),
       "finish interrupted completed/not_published", "finished"},
      {"publishing", publishing(), "stop", telling(ctrl_c), "", "publishing"},
  };
  for (auto c : table) {
    BOOST_TEST_CONTEXT(c.row << " | " << c.column) {
      BOOST_TEST(c.tell(c.from) == c.actions);
      BOOST_TEST(c.from.where() == c.then);
      if (c.from.where() == "finished") BOOST_TEST(c.from.wakes_in() == -1);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_plain_success_from_begin_to_finish) {
  driven d(quiet());
  BOOST_TEST(d.tell(begin{}) == "prepare");
  BOOST_TEST(d.wakes_in() == -1);
  BOOST_TEST(d.tell(prepared{}) == "spawn 1");
  BOOST_TEST(d.tell(started{}) == "");
  BOOST_TEST(d.wakes_in() == 100'000);
  BOOST_TEST(d.tell(exited{{verdict::completed, {}, {}}}, 40s) == "kill");
  BOOST_TEST(d.wakes_in() == 5'000);
  BOOST_TEST(d.tell(emptied{}) == "save(final) exit");
  BOOST_TEST(d.wakes_in() == 120'000);
  BOOST_TEST(d.answer() == "end completed -, publish");
  BOOST_TEST(d.wakes_in() == -1);
  BOOST_TEST(d.tell(published{}) == "finish succeeded completed");
  BOOST_TEST(d.wakes_in() == -1);
  BOOST_TEST(d.tell(begin{}) == "");
  BOOST_TEST(d.machine.attempt() == 1u);
  BOOST_TEST(d.machine.counted() == 0u);
}

BOOST_AUTO_TEST_CASE(P4_an_agent_that_ignores_the_signal_is_killed_after_grace) {
  auto d = at(phase::running);
  BOOST_TEST(d.wait() == "freeze");
  BOOST_TEST(d.wakes_in() == 500);
  BOOST_TEST(d.tell(frozen{}, 20ms) == "save timed out: wall");
  BOOST_TEST(d.wakes_in() == 10'000);
  BOOST_TEST(d.answer(true, 300ms) == "signal, thaw");
  BOOST_TEST(d.wakes_in() == 10'000);
  BOOST_TEST(d.tell(output{}, 4s) == "");
  BOOST_TEST(d.wakes_in() == 6'000);
  BOOST_TEST(d.wait() == "kill");
  BOOST_TEST(d.wakes_in() == 5'000);
}

BOOST_AUTO_TEST_CASE(a_soft_deadline_before_the_start_is_none) {
  auto l = quiet();
  l.soft = l.wall;
  auto d = at(phase::running, l);
  BOOST_TEST(d.wakes_in() == 100'000);
}

BOOST_AUTO_TEST_CASE(P6_what_cannot_be_killed_keeps_its_slot_and_the_successor_gets_another) {
  auto d = at(phase::emptying);
  BOOST_TEST(d.wait() == "quarantine, save(final) timed out: wall");
  BOOST_TEST(d.tell(emptied{}) == "");  // too late: the slot stays out of use
  BOOST_TEST(d.answer() == "end timed_out/wall +, prepare");
  BOOST_TEST(d.tell(prepared{}) == "spawn 2");
  d.tell(started{});
  d.exit(verdict::timed_out, "external");
  BOOST_TEST(d.where() == "starting");  // the new slot is as good as any
}

BOOST_AUTO_TEST_CASE(P6_nothing_is_verified_in_a_quarantined_slot) {
  auto l = quiet();
  l.verifies = true;
  auto d = at(phase::running, l);
  d.tell(exited{{verdict::completed, {}, {}}});
  BOOST_TEST(d.wait() == "quarantine, save(final) exit");
  BOOST_TEST(d.answer() == "prepare");
  BOOST_TEST(d.tell(prepared{}) == "verify");
  BOOST_TEST(d.tell(verified{}) == "end completed -, publish");
}

BOOST_AUTO_TEST_CASE(G8_after_an_agent_that_removed_its_worktree_the_successor_gets_another) {
  auto d = at(phase::running);
  d.tell(exited{{verdict::timed_out, "external", {}}});
  d.tell(emptied{});
  const save_failed lost{.token = d.token, .why = "it is gone", .slot_lost = true};
  BOOST_TEST(d.tell(lost) == "end timed_out/external +, prepare");
  BOOST_TEST(d.tell(prepared{}) == "spawn 2");
}

BOOST_AUTO_TEST_CASE(a_slot_lost_while_its_agent_had_completed_ends_the_attempt_once) {
  auto l = quiet();
  l.verifies = true;
  for (const bool stopped : {false, true}) {
    auto d = at(phase::running, l);
    d.tell(exited{{verdict::completed, {}, {}}});
    d.wait();
    d.answer();
    if (stopped)
      BOOST_TEST(d.tell(ctrl_c) == "end interrupted -, finish interrupted interrupted");
    else
      BOOST_TEST(d.tell(prepare_failed{verdict::setup_failed, "npm"}) ==
                 "end setup_failed/npm -, finish failed setup_failed/npm");
  }
}

BOOST_AUTO_TEST_CASE(an_agent_that_completes_before_it_is_signalled_has_completed) {
  auto d = at(phase::freezing);
  BOOST_TEST(d.tell(exited{{verdict::completed, {}, {}}}) == "kill");
  BOOST_TEST(d.tell(emptied{}) == "save(final) exit");
  BOOST_TEST(d.answer() == "end completed -, publish");
}

BOOST_AUTO_TEST_CASE(an_agent_that_fails_before_it_is_signalled_has_timed_out) {
  auto d = at(phase::freezing);
  d.tell(failed_with_1);
  BOOST_TEST(d.tell(emptied{}) == "save(final) timed out: wall");
  BOOST_TEST(d.answer() == "end timed_out/wall +, spawn 2");
}

BOOST_AUTO_TEST_CASE(exit_0_after_the_signal_is_not_a_success) {
  auto d = at(phase::grace);
  d.tell(exited{{verdict::completed, {}, {}}});
  BOOST_TEST(d.tell(emptied{}) == "save(final) timed out: wall");
  BOOST_TEST(d.answer() == "end timed_out/wall +, spawn 2");
}

BOOST_AUTO_TEST_CASE(the_answer_to_an_earlier_checkpoint_does_not_end_a_wait) {
  auto l = quiet();
  l.checkpoints.turns = 1;
  auto d = at(phase::running, l);
  d.tell(turn_ended{});
  const auto routine = d.token;
  d.tell(stop{});
  BOOST_TEST(d.tell(frozen{}) == "save interrupted");
  BOOST_TEST(d.tell(saved{.token = routine}) == "");
  BOOST_TEST(d.answer() == "signal, thaw");
  const auto late = d.token;
  d.wait();
  BOOST_TEST(d.tell(emptied{}) == "save(final) interrupted");
  BOOST_TEST(d.tell(saved{.token = late}) == "");
  BOOST_TEST(d.where() == "saving");
}

BOOST_AUTO_TEST_CASE(T1_the_most_severe_of_several_deadlines_comes_first) {
  auto l = quiet();
  l.wall = 1500ms;
  l.idle = 1s;
  l.first_output = 1s;
  l.soft = 500ms;
  l.checkpoints.interval = 1s;
  auto d = at(phase::running, l);
  BOOST_TEST(d.tell(deadline{}, 2s) == "freeze");
  BOOST_TEST(d.tell(frozen{}) == "save timed out: wall");
}

BOOST_AUTO_TEST_CASE(T1_a_jump_does_not_take_the_time_of_the_next_step) {
  auto d = at(phase::freezing);
  BOOST_TEST(d.tell(deadline{}, 1h) == "save(unfrozen) timed out: wall");
  BOOST_TEST(d.wakes_in() == 10'000);
  BOOST_TEST(d.tell(deadline{}, 1h) == "signal, thaw");
  BOOST_TEST(d.wakes_in() == 10'000);
  BOOST_TEST(d.tell(deadline{}, 1h) == "kill");
  BOOST_TEST(d.wakes_in() == 5'000);
}

BOOST_AUTO_TEST_CASE(a_deadline_too_early_does_nothing) {
  for (const auto p :
       {phase::running, phase::freezing, phase::grace, phase::emptying, phase::saving}) {
    auto d = at(p);
    const auto wake = d.last.wake_at;
    BOOST_TEST(d.tell(deadline{}) == "");
    BOOST_TEST((d.machine.phase() == p));
    BOOST_TEST((d.last.wake_at == wake));
  }
}

BOOST_AUTO_TEST_CASE(a_lost_supervisor_is_a_crash) {
  auto d = at(phase::running);
  d.tell(emptied{false});
  BOOST_TEST(d.answer() == "end crashed/shim +, back_off 1000ms");
  BOOST_TEST(d.wait() == "prepare");
}

// --- stops ---

BOOST_AUTO_TEST_CASE(a_stop_saves_signals_kills_and_saves_again) {
  for (const auto kind : {stop_kind::interrupt, stop_kind::cancel}) {
    const std::string why = kind == stop_kind::cancel ? "cancelled" : "interrupted";
    auto d = at(phase::running);
    BOOST_TEST(d.tell(stop{kind}) == "freeze");
    BOOST_TEST(d.tell(frozen{}) == "save " + why);
    BOOST_TEST(d.answer() == "signal, thaw");
    BOOST_TEST(d.wait() == "kill");
    BOOST_TEST(d.tell(emptied{}) == "save(final) " + why);
    BOOST_TEST(d.answer() == "end " + why + " -, finish " + why + " " + why);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_while_starting_waits_for_the_child_that_must_then_be_ended) {
  auto d = at(phase::starting);
  d.tell(ctrl_c);
  BOOST_TEST(d.tell(started{}) == "freeze");
  auto insisted = at(phase::starting);
  insisted.tell(ctrl_c);
  insisted.tell(second_ctrl_c);
  insisted.tell(ctrl_c);
  BOOST_TEST(insisted.tell(started{}) == "kill");
}

BOOST_AUTO_TEST_CASE(a_stop_during_a_timeout_is_final) {
  auto d = at(phase::freezing);
  d.tell(ctrl_c);
  d.tell(frozen{});
  d.answer();
  d.wait();
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end timed_out/wall +, finish interrupted timed_out/wall");
}

BOOST_AUTO_TEST_CASE(a_cancel_after_an_interrupt_wins_and_not_the_other_way_round) {
  auto d = at(phase::running);
  d.tell(ctrl_c);
  d.tell(cancel);
  BOOST_TEST(d.tell(frozen{}) == "save cancelled");
  d.tell(second_ctrl_c);
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end cancelled -, finish cancelled cancelled");

  auto e = at(phase::saving);
  e.tell(cancel);
  e.tell(ctrl_c);
  BOOST_TEST(e.answer() == "end timed_out/wall +, finish cancelled timed_out/wall");
}

BOOST_AUTO_TEST_CASE(a_stop_lets_a_result_be_published_but_no_verification_begin) {
  auto d = at(phase::running);
  d.tell(exited{{verdict::completed, {}, {}}});
  d.tell(ctrl_c);
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end completed -, publish");

  auto l = quiet();
  l.verifies = true;
  auto v = at(phase::running, l);
  v.tell(exited{{verdict::completed, {}, {}}});
  v.tell(ctrl_c);
  v.tell(emptied{});
  BOOST_TEST(v.answer() == "end interrupted -, finish interrupted interrupted");

  auto c = at(phase::running);
  c.tell(exited{{verdict::completed, {}, {}}});
  c.tell(cancel);
  c.tell(emptied{});
  BOOST_TEST(c.answer() == "end cancelled -, finish cancelled cancelled");
}

BOOST_AUTO_TEST_CASE(a_stop_before_anything_began) {
  driven d(quiet());
  BOOST_TEST(d.tell(ctrl_c) == "finish interrupted interrupted");
  driven c(quiet());
  BOOST_TEST(c.tell(cancel) == "finish cancelled cancelled");
}

BOOST_AUTO_TEST_CASE(a_spent_budget_interrupts_the_task) {
  auto d = at(phase::running);
  d.tell(over_budget{"tokens", {}});
  BOOST_TEST(d.tell(frozen{}) == "save budget: tokens");
  d.answer();
  d.wait();
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end budget/tokens -, finish interrupted budget/tokens");
}

BOOST_AUTO_TEST_CASE(no_attempt_begins_once_the_budget_is_spent) {
  const over_budget spent{"tokens", "2M"};
  const std::string ends = "finish interrupted budget/tokens";

  driven before(quiet());
  BOOST_TEST(before.tell(spent) == "");
  BOOST_TEST(before.tell(begin{}) == ends);

  auto preparing = at(phase::preparing);
  BOOST_TEST(preparing.tell(spent) == ends);

  driven orphaned(quiet());  // what an earlier life left is saved while it is prepared
  orphaned.tell(begin{.counted = 1, .made = 1});
  BOOST_TEST(orphaned.tell(spent) == "");
  BOOST_TEST(orphaned.tell(prepared{}) == ends);

  auto starting = at(phase::starting);
  BOOST_TEST(starting.tell(spent) == "");
  BOOST_TEST(starting.tell(started{}) == "freeze");

  auto emptying = at(phase::emptying);
  BOOST_TEST(emptying.tell(spent) == "");
  emptying.tell(emptied{});
  BOOST_TEST(emptying.answer() == "end timed_out/wall +, " + ends);

  auto waiting = at(phase::running);
  waiting.exit(verdict::failed, "1");
  BOOST_REQUIRE(waiting.where() == "waiting");
  BOOST_TEST(waiting.tell(spent) == ends);
}

BOOST_AUTO_TEST_CASE(an_agent_that_completes_with_the_last_of_its_budget_has_completed) {
  auto d = at(phase::running);
  d.tell(over_budget{"tokens", {}});
  d.tell(exited{{verdict::completed, {}, {}}});
  d.tell(emptied{});
  BOOST_TEST(d.answer() == "end completed -, publish");
}

BOOST_AUTO_TEST_SUITE_END()

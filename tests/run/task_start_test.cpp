#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/run/task_start.hpp>

using namespace remora;

namespace {

run::task_fold task_with_an_agent_in_its_slot() {
  run::task_fold fold;
  fold.id = "t";
  fold.slot = "/slots/1";
  fold.slot_boot = "boot 1";
  fold.slot_used = true;
  fold.attempts.push_back({attempt_no(1), "text", "then", {}, {}, {}, {}, false});
  return fold;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task_starts)

BOOST_AUTO_TEST_CASE(an_orphan_is_gone_on_from_in_place) {
  run::recovered_task r;
  run::take_fold(task_with_an_agent_in_its_slot(), true, "boot 1", r);
  BOOST_TEST(r.start.slot == "/slots/1");
  BOOST_TEST(r.start.abandoned.empty());
  BOOST_TEST(r.start.orphaned->value() == 1u);
  BOOST_TEST(r.remarks.empty());
}

BOOST_AUTO_TEST_CASE(X6_after_a_restart_of_the_machine_a_worktree_is_kept_and_not_gone_on_in) {
  run::recovered_task r;
  run::take_fold(task_with_an_agent_in_its_slot(), true, "boot 2", r);
  BOOST_TEST(r.start.slot.empty());
  BOOST_TEST(r.start.abandoned == "/slots/1");
  BOOST_REQUIRE(r.remarks.size() == 1u);
  BOOST_TEST(r.remarks.front().starts_with("the machine was restarted"));
}

BOOST_AUTO_TEST_CASE(a_worktree_that_nobody_needs_any_more_is_freed_after_a_restart_too) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.attempts.back().ended = "later";
  run::recovered_task r;
  const unsigned char raw[20] = {1};
  r.start.published = git::oid(raw);
  run::take_fold(fold, true, "boot 2", r);
  BOOST_TEST(r.start.slot == "/slots/1");
  BOOST_TEST(r.remarks.empty());
}

BOOST_AUTO_TEST_CASE(F8_what_a_chain_takes_on_the_disk_is_known_after_a_crash) {
  const auto id = [](unsigned char first) {
    const unsigned char raw[20] = {first};
    return git::oid(raw);
  };
  const auto told = [&](const char* type, unsigned char record, std::uint64_t packed, bool thins) {
    return run::record{
        1,
        "then",
        type,
        {{"task", "t"}, {"record", id(record).hex()}, {"packed", packed}, {"thins", thins}}};
  };
  const boost::json::object plan{{"tasks", boost::json::array{boost::json::object{{"id", "t"}}}}};
  std::vector<run::record> journal{{1, "then", "run_started", {{"plan", plan}}}};
  const auto bytes_after = [&](unsigned char newest) {
    run::recovered_task r;
    r.start.record = id(newest);
    run::take_fold(run::fold_records(journal).tasks.at("t"), true, "boot 1", r);
    return r.start.chain_bytes;
  };
  journal.push_back(told("checkpoint_saved", 1, 100, false));
  journal.push_back(told("checkpoint_saved", 2, 30, false));
  BOOST_TEST(bytes_after(2) == 130u);
  journal.push_back(told("checkpoint_prepared", 3, 7, true));
  BOOST_TEST(bytes_after(3) == 7u);
  BOOST_TEST(bytes_after(2) == 130u);  // it never happened
  journal.push_back(told("checkpoint_saved", 3, 7, true));
  journal.push_back(told("checkpoint_saved", 4, 5, false));
  BOOST_TEST(bytes_after(4) == 12u);
}

BOOST_AUTO_TEST_CASE(a_slot_in_which_no_agent_was_is_made_anew) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.slot_used = false;
  fold.attempts.clear();
  run::recovered_task r;
  run::take_fold(fold, true, "boot 1", r);
  BOOST_TEST(r.start.slot.empty());
  BOOST_TEST(r.start.discard == "/slots/1");
}

BOOST_AUTO_TEST_CASE(how_the_last_attempt_ended_is_what_the_journal_says_of_it) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.attempts.back().ended = "2026-11-23T07:00:00.000Z";
  fold.attempts.back().verdict = "verify_failed";
  const auto told = [&](std::uint32_t of_checkpoint) {
    run::recovered_task r;
    r.start.mind = agent::state("run", "t", "do it");
    r.start.mind->begin_attempt(of_checkpoint, {}, {});
    run::take_fold(fold, true, "boot 1", r);
    return r.start.mind->attempts().back().ended_with;
  };
  BOOST_REQUIRE(told(1).has_value());
  BOOST_TEST((told(1)->verdict == agent::verdict::verify_failed));
  BOOST_TEST(!told(2).has_value());  // a later one, of which the journal knows nothing
  fold.attempts.back().ended.clear();
  BOOST_TEST(!told(1).has_value());
}

BOOST_AUTO_TEST_CASE(P6_a_worktree_that_was_left_to_its_agents_is_gone_on_in_only_without_them) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.quarantined = true;
  run::recovered_task r;
  run::take_fold(fold, true, "boot 1", r);
  BOOST_TEST(r.start.slot == "/slots/1");
  BOOST_TEST(r.start.quarantined);
  BOOST_TEST(r.start.abandoned.empty());
  run::recovered_task after_restart;
  run::take_fold(fold, true, "boot 2", after_restart);
  BOOST_TEST(after_restart.start.slot.empty());
  BOOST_TEST(after_restart.start.abandoned == "/slots/1");
  run::recovered_task over;
  const unsigned char raw[20] = {1};
  over.start.published = git::oid(raw);
  run::take_fold(fold, true, "boot 1", over);
  BOOST_TEST(over.start.slot.empty());
  BOOST_TEST(over.start.abandoned == "/slots/1");
  BOOST_TEST(!run::can_go_on_in_slot(fold, true, "boot 1"));
  fold.quarantined = false;
  BOOST_TEST(run::can_go_on_in_slot(fold, true, "boot 1"));
  BOOST_TEST(!run::can_go_on_in_slot(fold, true, "boot 2"));
  BOOST_TEST(!run::can_go_on_in_slot(fold, false, "boot 1"));
}

BOOST_AUTO_TEST_SUITE_END()

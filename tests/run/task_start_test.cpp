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

BOOST_AUTO_TEST_CASE(a_slot_in_which_no_agent_was_is_made_anew) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.slot_used = false;
  fold.attempts.clear();
  run::recovered_task r;
  run::take_fold(fold, true, "boot 1", r);
  BOOST_TEST(r.start.slot.empty());
  BOOST_TEST(r.start.discard == "/slots/1");
}

BOOST_AUTO_TEST_CASE(a_worktree_that_was_left_to_its_agents_is_not_gone_on_in) {
  run::task_fold fold = task_with_an_agent_in_its_slot();
  fold.quarantined = true;
  run::recovered_task r;
  run::take_fold(fold, true, "boot 1", r);
  BOOST_TEST(r.start.slot.empty());
  BOOST_TEST(r.start.abandoned == "/slots/1");
  BOOST_TEST(!run::can_go_on_in_slot(fold, true, "boot 1"));
  fold.quarantined = false;
  BOOST_TEST(run::can_go_on_in_slot(fold, true, "boot 1"));
  BOOST_TEST(!run::can_go_on_in_slot(fold, true, "boot 2"));
  BOOST_TEST(!run::can_go_on_in_slot(fold, false, "boot 1"));
}

BOOST_AUTO_TEST_SUITE_END()

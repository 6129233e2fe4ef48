// Which tasks start, which never will, and when a run is over.
#include <boost/test/unit_test.hpp>
#include <map>
#include <random>
#include <remora/supervise/scheduler.hpp>
#include <stdexcept>

using namespace remora::supervise;

using ids = std::vector<std::size_t>;

BOOST_AUTO_TEST_SUITE(scheduling)

BOOST_AUTO_TEST_CASE(tasks_start_in_order_as_many_as_allowed) {
  scheduler s({{0, {}}, {1, {}}, {2, {}}, {3, {}}}, 2);
  BOOST_TEST(s.start_now() == (ids{0, 1}), boost::test_tools::per_element());
  BOOST_TEST(s.start_now().empty());
  s.ended(1, task_outcome::failed);
  BOOST_TEST(s.start_now() == (ids{2}), boost::test_tools::per_element());
  s.ended(0, task_outcome::succeeded);
  s.ended(2, task_outcome::succeeded);
  BOOST_TEST(!s.done());
  BOOST_TEST(s.start_now() == (ids{3}), boost::test_tools::per_element());
  s.ended(3, task_outcome::cancelled);
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_CASE(a_task_waits_for_all_that_it_is_after) {
  scheduler s({{0, {2, 1}}, {1, {}}, {2, {}}}, 4);
  BOOST_TEST(s.start_now() == (ids{1, 2}), boost::test_tools::per_element());
  s.ended(2, task_outcome::succeeded);
  BOOST_TEST(s.start_now().empty());
  s.ended(1, task_outcome::succeeded);
  BOOST_TEST(s.start_now() == (ids{0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_depends_on_a_failure_is_skipped_through_and_through) {
  for (const auto outcome :
       {task_outcome::failed, task_outcome::cancelled, task_outcome::skipped}) {
    scheduler s({{0, {}}, {1, {0}}, {2, {1, 3}}, {3, {}}, {4, {3}}}, 1);
    s.start_now();
    s.ended(0, outcome);
    BOOST_TEST(s.newly_skipped() == (ids{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(s.newly_skipped().empty());
    BOOST_TEST(s.start_now() == (ids{3}), boost::test_tools::per_element());
    s.ended(3, task_outcome::succeeded);
    BOOST_TEST(s.start_now() == (ids{4}), boost::test_tools::per_element());
    s.ended(4, task_outcome::succeeded);
    BOOST_TEST(s.done());
  }
}

BOOST_AUTO_TEST_CASE(what_depends_on_an_interrupted_task_is_left_for_resume) {
  scheduler s({{0, {}}, {1, {0}}}, 1);
  s.start_now();
  s.ended(0, task_outcome::interrupted);
  BOOST_TEST(s.newly_skipped().empty());
  BOOST_TEST(s.start_now().empty());
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_CASE(outcomes_of_an_earlier_life_are_taken_as_they_are) {
  scheduler s({{0, {}}, {1, {0}}, {2, {1}}, {3, {}}}, 4);
  s.ended(0, task_outcome::succeeded);
  s.ended(3, task_outcome::failed);
  BOOST_TEST(s.start_now() == (ids{1}), boost::test_tools::per_element());
  s.ended(1, task_outcome::succeeded);
  s.ended(1, task_outcome::failed);  // a second end changes nothing
  BOOST_TEST(s.newly_skipped().empty());
  BOOST_TEST(s.start_now() == (ids{2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(outcomes_of_an_earlier_life_may_come_in_any_order) {
  scheduler s({{0, {}}, {1, {0}}}, 4);
  s.ended(1, task_outcome::succeeded);
  s.ended(0, task_outcome::succeeded);
  BOOST_TEST(s.start_now().empty());
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_CASE(one_success_told_twice_is_not_two) {
  scheduler s({{0, {}}, {1, {}}, {2, {0, 1}}}, 1);
  s.ended(0, task_outcome::succeeded);
  s.ended(0, task_outcome::succeeded);
  BOOST_TEST(s.start_now() == (ids{1}), boost::test_tools::per_element());
  s.ended(1, task_outcome::failed);
  BOOST_TEST(s.newly_skipped() == (ids{2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(after_a_stop_nothing_starts) {
  scheduler s({{0, {}}, {1, {}}, {2, {0}}}, 1);
  s.start_now();
  s.stop();
  BOOST_TEST(!s.done());
  s.ended(0, task_outcome::succeeded);
  BOOST_TEST(s.start_now().empty());
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_CASE(ids_are_those_of_the_caller_and_duplicates_in_after_count_once) {
  scheduler s({{70, {}}, {7, {70, 70}}}, 0);
  BOOST_TEST(s.start_now() == (ids{70}), boost::test_tools::per_element());
  s.ended(70, task_outcome::succeeded);
  BOOST_TEST(s.start_now() == (ids{7}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(nothing_to_do_is_done) {
  BOOST_TEST(scheduler({}, 1).done());
}

BOOST_AUTO_TEST_CASE(what_a_plan_refuses_is_a_bug_here) {
  BOOST_CHECK_THROW(scheduler({{0, {0}}}, 1), std::invalid_argument);
  BOOST_CHECK_THROW(scheduler({{0, {1}}, {1, {2}}, {2, {1}}}, 1), std::invalid_argument);
  BOOST_CHECK_THROW(scheduler({{0, {5}}}, 1), std::invalid_argument);
  BOOST_CHECK_THROW(scheduler({{0, {}}, {0, {}}}, 1), std::invalid_argument);
  scheduler s({{0, {}}}, 1);
  BOOST_CHECK_THROW(s.ended(9, task_outcome::failed), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(X2_what_an_earlier_life_had_skipped_is_not_skipped_anew) {
  scheduler s({{.id = 0, .after = {}}, {.id = 1, .after = {0}}, {.id = 2, .after = {1}}}, 4);
  s.ended(0, task_outcome::failed);
  s.ended(1, task_outcome::skipped);
  BOOST_TEST(s.newly_skipped() == (ids{2}), boost::test_tools::per_element());
  BOOST_TEST(s.done());
}

namespace {

// A graph whose edges go to earlier tasks, listed in any order.
std::vector<scheduled_task> random_graph(std::mt19937_64& random) {
  std::vector<scheduled_task> tasks(1 + random() % 40);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].id = i;
    for (std::size_t e = random() % 4; e > 0 && i > 0; --e) tasks[i].after.push_back(random() % i);
  }
  std::shuffle(tasks.begin(), tasks.end(), random);
  return tasks;
}

// What must become of each task, by the definition: nothing for one that never starts.
std::map<std::size_t, std::optional<task_outcome>> expected(
    std::vector<scheduled_task> tasks, const std::vector<task_outcome>& if_run) {
  std::sort(tasks.begin(), tasks.end(), [](auto& a, auto& b) { return a.id < b.id; });
  std::map<std::size_t, std::optional<task_outcome>> became;
  for (const auto& t : tasks) {
    std::optional<task_outcome> mine = if_run[t.id];
    for (const auto a : t.after) {
      if (became[a] == task_outcome::succeeded) continue;
      const bool open = !became[a] || became[a] == task_outcome::interrupted;
      if (!open) mine = task_outcome::skipped;
      if (open && mine != task_outcome::skipped) mine.reset();
    }
    became[t.id] = mine;
  }
  return became;
}

}  // namespace

BOOST_AUTO_TEST_CASE(random_graphs_come_out_as_defined) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2'000; ++round) {
    const auto tasks = random_graph(random);
    const std::size_t parallel = 1 + random() % 5;
    std::vector<task_outcome> if_run;
    for (std::size_t i = 0; i < tasks.size(); ++i)
      if_run.push_back(random() % 5 > 0   ? task_outcome::succeeded
                       : random() % 2 > 0 ? task_outcome::failed
                                          : task_outcome::interrupted);

    scheduler s(tasks, parallel);
    std::map<std::size_t, std::optional<task_outcome>> became;
    for (const auto& t : tasks) became[t.id];
    ids running;
    for (;;) {
      for (const auto id : s.start_now()) running.push_back(id);
      BOOST_REQUIRE(running.size() <= parallel);
      BOOST_REQUIRE(s.done() == running.empty());
      if (running.empty()) break;
      std::swap(running[random() % running.size()], running.back());
      const auto id = running.back();
      running.pop_back();
      BOOST_REQUIRE(!became[id]);
      became[id] = if_run[id];
      s.ended(id, if_run[id]);
      for (const auto skipped : s.newly_skipped()) {
        BOOST_REQUIRE(!became[skipped]);
        became[skipped] = task_outcome::skipped;
      }
    }
    BOOST_REQUIRE((became == expected(tasks, if_run)));
  }
}

BOOST_AUTO_TEST_CASE(who_may_not_start_yet_keeps_its_turn_and_no_place) {
  scheduler s({{1, {}}, {2, {}}, {3, {}}, {4, {}}}, 2);
  const auto not_1_or_2 = [](std::size_t id) { return id > 2; };
  BOOST_TEST(s.start_now(not_1_or_2) == (ids{3, 4}), boost::test_tools::per_element());
  s.ended(3, task_outcome::succeeded);
  BOOST_TEST(s.start_now(not_1_or_2).empty());
  BOOST_TEST(!s.done());
  BOOST_TEST(s.start_now() == (ids{1}), boost::test_tools::per_element());
  s.stop();
  s.ended(1, task_outcome::succeeded);
  s.ended(4, task_outcome::succeeded);
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_CASE(who_waits_for_long_leaves_its_place_and_needs_one_to_go_on) {
  scheduler s({{1, {}}, {2, {}}, {3, {}}}, 1);
  BOOST_TEST(s.start_now() == (ids{1}), boost::test_tools::per_element());
  s.leave(1);
  s.leave(1);
  BOOST_TEST(s.start_now() == (ids{2}), boost::test_tools::per_element());
  BOOST_TEST(!s.enter(1));
  s.ended(2, task_outcome::succeeded);
  BOOST_TEST(s.enter(1));
  BOOST_TEST(s.enter(1));
  BOOST_TEST(s.start_now().empty());
  s.leave(1);
  s.ended(1, task_outcome::interrupted);  // where it waits
  BOOST_TEST(s.start_now() == (ids{3}), boost::test_tools::per_element());
  BOOST_TEST(!s.done());
  s.ended(3, task_outcome::succeeded);
  BOOST_TEST(s.done());
}

BOOST_AUTO_TEST_SUITE_END()

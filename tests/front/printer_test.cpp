#include <boost/test/unit_test.hpp>
#include <remora/front/printer.hpp>

#include "front/columns.hpp"
#include "world.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// A run of tasks t1, t2, …, of which the first `running` run.
run::run_fold run_of(std::size_t tasks, std::size_t running) {
  json::array plan;
  for (std::size_t i = 1; i <= tasks; ++i)
    plan.push_back(json::object{{"id", "t" + std::to_string(i)}});
  run::run_fold fold;
  fold.apply({1, "2026-01-02T03:04:05.000Z", "run_started",
              json::object{{"run", "r"}, {"plan", json::object{{"tasks", std::move(plan)}}}}});
  for (std::size_t i = 1; i <= running; ++i)
    fold.apply({1 + i, "2026-01-02T03:04:05.000Z", "task_phase",
                json::object{{"task", "t" + std::to_string(i)}, {"phase", "running"}}});
  return fold;
}

run::record record(std::string type, json::object payload) {
  return {7, "2026-01-02T03:04:05.000Z", std::move(type), std::move(payload)};
}

BOOST_AUTO_TEST_SUITE(printing)

BOOST_AUTO_TEST_CASE(a_text_is_as_wide_as_a_terminal_shows_it) {
  BOOST_TEST(columns("abc") == 3u);
  BOOST_TEST(columns("naïve") == 5u);
  BOOST_TEST(columns("nai\xCC\x88ve") == 5u);  // a combining mark
  BOOST_TEST(columns("日本") == 4u);
  BOOST_TEST(columns("🐟") == 2u);
  BOOST_TEST(pad("日本", 6) == "日本  ");
  BOOST_TEST(fit("日本語", 5) == "日本…");
  BOOST_TEST(fit("日本語", 6) == "日本語");
  BOOST_TEST(fit("日本語", 4) == "日…");
  BOOST_TEST(fit("abc", 0) == "");
}

BOOST_AUTO_TEST_CASE(the_table_has_a_line_a_task_and_none_is_wider_than_the_screen) {
  run::run_fold fold = run_of(3, 1);
  fold.apply(record("agent_event",
                    json::object{{"task", "t1"},
                                 {"event", json::object{{"type", "message"},
                                                        {"text", "日本語 and more of it"}}}}));
  for (const std::size_t width : {21u, 40u, 59u, 60u, 100u}) {
    const auto lines = table_lines(fold, {width, 24}, false);
    BOOST_TEST(lines.size() == 3u);
    for (const std::string& line : lines) BOOST_TEST(columns(line) < width);
  }
  const auto lines = table_lines(fold, {100, 24}, false);
  BOOST_TEST(lines.at(0) == "▶ t1  attempt 0    0 checkpoints  running | 日本語 and more of it");
  BOOST_TEST(lines.at(1) == "· t2  attempt 0    0 checkpoints  queued");
}

BOOST_AUTO_TEST_CASE(of_more_tasks_than_lines_those_that_run_are_shown_and_all_are_counted) {
  const auto some = table_lines(run_of(30, 2), {80, 10}, false);
  BOOST_TEST(some.size() == 3u);
  BOOST_TEST(some.back() == "30 tasks: 2 running, 28 waiting, 0 succeeded, 0 not");
  BOOST_TEST(table_lines(run_of(30, 20), {80, 10}, false).size() == 10u);
  BOOST_TEST(table_lines(run_of(10, 0), {80, 10}, false).size() == 10u);
}

BOOST_AUTO_TEST_CASE(the_live_table_overwrites_itself_and_leaves_warnings_above) {
  std::ostringstream out;
  const auto live = make_live_printer(out, false);
  live->show(record(
      "run_started",
      json::object{{"run", "r"},
                   {"name", "n"},
                   {"plan", json::object{{"tasks", json::array{json::object{{"id", "t1"}}}}}}}));
  BOOST_TEST(holds(out.str(), "run r: 1 tasks from n\n"));
  out.str({});
  live->show(record("checkpoint_prepared", json::object{{"task", "t1"}}));
  BOOST_TEST(out.str() == "");  // nothing that is shown has changed
  live->show(record("warning", json::object{{"task", "t1"}, {"text", "mind\x1b[2J the gap"}}));
  BOOST_TEST(out.str().starts_with("\r\x1b[1A\x1b[Jwarning: t1: mind"));
  BOOST_TEST(!holds(out.str(), "\x1b[2J"));
  out.str({});
  live->close({.succeeded = 1});
  BOOST_TEST(holds(out.str(), "run r: 1 succeeded, 0 failed, 0 interrupted, 0 skipped\n"));
}

BOOST_AUTO_TEST_CASE(an_event_has_its_schema_and_run_and_what_recovery_reads_is_not_one) {
  const std::string line =
      event_line("r", record("task_phase", json::object{{"task", "t"}, {"phase", "running"}}));
  BOOST_TEST(line ==
             R"({"schema":"remora.event/1","seq":7,"t":"2026-01-02T03:04:05.000Z","run":"r",)"
             R"("type":"task_phase","task":"t","phase":"running"})");
  for (const char* type :
       {"checkpoint_prepared", "attempt_running", "result_published", "slot_lent", "slot_freed"})
    BOOST_TEST(event_line("r", record(type, {})) == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front

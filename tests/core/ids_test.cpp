#include <boost/test/unit_test.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/ids.hpp>

using namespace remora;

BOOST_AUTO_TEST_SUITE(ids)

BOOST_AUTO_TEST_CASE(a_run_id_is_its_utc_second_and_four_letters) {
  manual_clock time;
  const run_id id = run_id::make(time.wall(), 0b00001'00000'11111'11010);
  BOOST_TEST(id.str() == "20260102-000000-27ab");
  BOOST_TEST(run_id::parse(id.str()).value().str() == id.str());
  for (const char* bad : {"", "20260102-000000-27a", "20260102-000000-27a1", "2026010a-000000-27ab",
                          "20260102_000000-27ab"})
    BOOST_TEST(run_id::parse(bad).has_error(), bad);
}

BOOST_AUTO_TEST_CASE(C6_task_ids_cannot_leave_a_ref_or_a_path) {
  for (const char* good : {"a", "parser", "fix-1", "v1.2_x", "0"})
    BOOST_TEST(task_id::parse(good).has_value(), good);
  for (const char* bad : {"", "-x", ".x", "a..b", "a.", "a.lock", "a/b", "$(id)", "a b",
                          "\xE3\x80\x80", "a\nb", "@{", "A"})
    BOOST_TEST(task_id::parse(bad).has_error(), bad);
  BOOST_TEST(task_id::parse(std::string(65, 'a')).has_error());
}

BOOST_AUTO_TEST_CASE(an_illegal_task_id_is_answered_with_a_legal_one) {
  const auto id = task_id::parse("PROJ-12");
  BOOST_REQUIRE(id.has_error());
  BOOST_TEST(id.error().what.find("use 'proj-12'") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

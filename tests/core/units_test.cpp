#include <boost/test/unit_test.hpp>
#include <remora/core/units.hpp>

using namespace remora;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(units)

BOOST_AUTO_TEST_CASE(T3_durations_need_a_known_unit_and_do_not_overflow) {
  BOOST_TEST((parse_duration("90s").value() == 90s));
  BOOST_TEST((parse_duration("1500ms").value() == 1500ms));
  BOOST_TEST((parse_duration("2h").value() == 2h));
  for (const char* bad :
       {"", "90", "s", "-1s", "1.5h", "90 s", "90sec", "99999999999999999999s", "9999999999h"})
    BOOST_TEST(parse_duration(bad).has_error(), bad);
}

BOOST_AUTO_TEST_CASE(T3_overflowing_counts_and_sizes_are_refused) {
  BOOST_TEST(parse_count("2M").value() == 2'000'000u);
  BOOST_TEST(parse_size("10M").value() == 10u << 20);
  BOOST_TEST(parse_count("17").value() == 17u);
  for (const char* bad : {"", "-3", "1.5M", "5T", "18446744073709551615G", "99999999999999999999"})
    BOOST_TEST(parse_count(bad).has_error(), bad);
}

BOOST_AUTO_TEST_CASE(formats_for_people) {
  BOOST_TEST(format_duration(800ms) == "0.8s");
  BOOST_TEST(format_duration(185s) == "3m05s");
  BOOST_TEST(format_duration(2h + 10min) == "2h10m");
  BOOST_TEST(format_duration_exact(90s) == "90s");
  BOOST_TEST(format_duration_exact(30min) == "30m");
  BOOST_TEST(format_count(4200) == "4.2k");
}

BOOST_AUTO_TEST_CASE(a_size_is_written_as_it_is_read) {
  for (const char* text : {"0", "1", "4097", "64M", "1536M", "4G", "3k"})
    BOOST_TEST(format_size_exact(parse_size(text).value()) == text);
}

BOOST_AUTO_TEST_SUITE_END()

#include <boost/test/unit_test.hpp>
#include <remora/core/clock.hpp>

namespace remora {
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(clock_test)

BOOST_AUTO_TEST_CASE(a_moment_is_read_as_it_was_written) {
  const wall_time moment =
      std::chrono::sys_days(std::chrono::year(2024) / 2 / 29) + 17h + 3min + 59s + 7ms;
  BOOST_TEST(iso8601(moment) == "2024-02-29T17:03:59.007Z");
  BOOST_TEST(iso8601(wall_time()) == "1970-01-01T00:00:00.000Z");
  BOOST_TEST((parse_iso8601(iso8601(moment)) == moment));
  BOOST_TEST((parse_iso8601("2024-02-29T17:03:59Z") == moment - 7ms));
}

BOOST_AUTO_TEST_CASE(what_is_no_moment_is_none) {
  for (const char* text : {"", "soon", "2023-02-29T17:03:59.007Z", "2024-02-29T17:03:59+02:00",
                           "2024-02-29T17:03:5x.007Z", "2024-02-29T17:03:59.007Z "})
    BOOST_TEST(!parse_iso8601(text), text);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora

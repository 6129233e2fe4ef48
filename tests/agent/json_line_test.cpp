#include "agent/json_line.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

using namespace remora;

BOOST_AUTO_TEST_SUITE(json_lines)

BOOST_AUTO_TEST_CASE(O13_long_lines_do_not_use_up_memory_one_after_the_other) {
  agent::json_line lines;
  const std::string line = R"({"type":"message","text":")" + std::string(20'000, 'x') + R"("})";
  for (int i = 0; i < 1000; ++i) {
    const boost::json::object* parsed = lines.parse(line);
    BOOST_REQUIRE(parsed != nullptr);
    BOOST_REQUIRE(agent::text_of(*parsed, "text").size() == 20'000u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

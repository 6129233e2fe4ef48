#include <boost/test/unit_test.hpp>
#include <remora/process/line_framer.hpp>
#include <string>
#include <vector>

using remora::process::line_framer;

namespace {

struct lines {
  std::vector<std::string> got;
  void feed(line_framer& framer, std::string_view bytes) {
    framer.feed(bytes, [this](std::string_view line) { got.emplace_back(line); });
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(framer)

BOOST_AUTO_TEST_CASE(lines_lose_their_newline_and_the_return_before_it) {
  line_framer framer;
  lines l;
  l.feed(framer, "a\nb\r\n\n\r\nc\rd\n");
  BOOST_TEST((l.got == std::vector<std::string>{"a", "b", "", "", "c\rd"}));
  BOOST_TEST(framer.rest() == "");
}

BOOST_AUTO_TEST_CASE(O5_a_code_point_split_between_reads_is_whole_again) {
  const std::string text = "h\u00e9llo \u20ac \U0001F980\n\u00fc\n";
  line_framer framer;
  lines l;
  for (const char c : text) l.feed(framer, std::string_view(&c, 1));
  BOOST_TEST((l.got == std::vector<std::string>{"h\u00e9llo \u20ac \U0001F980", "\u00fc"}));
}

BOOST_AUTO_TEST_CASE(O6_what_has_no_newline_yet_is_kept_apart) {
  line_framer framer;
  lines l;
  l.feed(framer, "whole\n{\"par");
  BOOST_TEST((l.got == std::vector<std::string>{"whole"}));
  BOOST_TEST(framer.rest() == "{\"par");
}

BOOST_AUTO_TEST_CASE(O2_a_line_over_the_limit_is_dropped_and_the_next_one_comes) {
  const std::string exact(8, 'e');
  const std::string longer(9, 'l');
  for (const std::size_t step : {std::size_t{1}, std::size_t{4}, std::size_t{1000}}) {
    line_framer framer(8);
    lines l;
    const std::string text = exact + "\n" + longer + "\n" + exact + "\r\n" + longer + "\r\n" +
                             std::string(100, 'x') + "\nafter\n";
    for (std::size_t i = 0; i < text.size(); i += step)
      l.feed(framer, std::string_view(text).substr(i, step));
    BOOST_TEST((l.got == std::vector<std::string>{exact, exact, "after"}));
    BOOST_TEST(framer.dropped() == 3u);
    BOOST_TEST(framer.rest() == "");
  }
}

BOOST_AUTO_TEST_CASE(O3_a_stream_without_newlines_keeps_nothing_beyond_the_limit) {
  line_framer framer(100);
  lines l;
  for (int i = 0; i < 1000; ++i) {
    l.feed(framer, "0123456789");
    BOOST_TEST(framer.rest().size() <= 101u);
  }
  BOOST_TEST(framer.rest() == "");
  l.feed(framer, "\nok\n");
  BOOST_TEST((l.got == std::vector<std::string>{"ok"}));
  BOOST_TEST(framer.dropped() == 1u);
}

BOOST_AUTO_TEST_CASE(O4_any_bytes_pass_through_as_they_are) {
  const std::string raw("\xff\x00\xc3\x28\x01", 5);
  line_framer framer;
  lines l;
  l.feed(framer, raw + "\n");
  BOOST_TEST((l.got == std::vector<std::string>{raw}));
}

BOOST_AUTO_TEST_SUITE_END()

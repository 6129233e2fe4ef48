#include <boost/crc.hpp>
#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <remora/core/crc32c.hpp>
#include <remora/core/exit_status.hpp>
#include <remora/core/text.hpp>

using namespace remora;

BOOST_AUTO_TEST_SUITE(text)

BOOST_AUTO_TEST_CASE(O4_invalid_utf8_is_replaced_byte_by_byte) {
  BOOST_TEST(to_utf8("a\xFFz") == "a\xEF\xBF\xBDz");
  BOOST_TEST(to_utf8("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
  BOOST_TEST(!is_utf8("\xC0\x80"));          // overlong
  BOOST_TEST(!is_utf8("\xED\xA0\x80"));      // surrogate
  BOOST_TEST(!is_utf8("\xF4\x90\x80\x80"));  // above U+10FFFF
  BOOST_TEST(!is_utf8("\xE2\x82"));
}

BOOST_AUTO_TEST_CASE(C13_nothing_printable_can_move_a_cursor_or_hide) {
  BOOST_TEST(printable("a\x1b[2Jb\x1b]0;title\x07"
                       "c") == "abc");
  BOOST_TEST(printable("\x1b]52;c;aGk=\x1b\\x") == "x");
  BOOST_TEST(printable("a\u202Eb\u200Bc\x07"
                       "d\re") == "abcde");
  BOOST_TEST(printable("two\nlines\t.") == "two\nlines\t.");
}

BOOST_AUTO_TEST_CASE(cuts_fall_between_code_points) {
  const std::string s = "x\u20ACy";
  BOOST_TEST(head_bytes(s, 2) == "x");
  BOOST_TEST(tail_bytes(s, 2) == "y");
  BOOST_TEST(head_bytes(s, 9) == s);
  BOOST_TEST(one_line("first\nsecond", 80) == "first…");
}

BOOST_AUTO_TEST_CASE(W9_a_path_of_any_bytes_survives_json) {
  for (const std::string& path :
       {std::string("plain/a b"), std::string("new\nline"), std::string("\xFF\x01raw")}) {
    boost::json::object o;
    path_to_json(o, "path", path);
    const auto again = boost::json::parse(boost::json::serialize(o)).as_object();
    BOOST_TEST(path_from_json(again, "path") == path);
  }
}

BOOST_AUTO_TEST_CASE(crc32c_is_castagnoli) {
  BOOST_TEST(crc32c("123456789") == 0xE3069283u);
  BOOST_TEST(crc32c("") == 0u);
  std::string up(32, '\0');  // RFC 3720, B.4
  std::iota(up.begin(), up.end(), '\0');
  const std::string down(up.rbegin(), up.rend());
  BOOST_TEST(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  BOOST_TEST(crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);
  BOOST_TEST(crc32c(up) == 0x46DD794Eu);
  BOOST_TEST(crc32c(down) == 0x113FDB5Cu);
}

BOOST_AUTO_TEST_CASE(crc32c_is_the_same_at_every_length_and_place) {
  std::string bytes;
  for (int i = 0; i < 64; ++i) bytes += static_cast<char>(i * i * 7 + 3);
  for (std::size_t from = 0; from < 9; ++from) {
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> slow;
    for (std::size_t n = 0; from + n < bytes.size(); ++n) {
      BOOST_TEST(crc32c(std::string_view(bytes).substr(from, n)) == slow.checksum());
      slow.process_byte(static_cast<unsigned char>(bytes[from + n]));
    }
  }
}

BOOST_AUTO_TEST_CASE(signals_have_names) {
  BOOST_TEST(parse_signal("KILL").value() == 9);
  BOOST_TEST(parse_signal("SIGTERM").value() == 15);
  BOOST_TEST(parse_signal("9").value() == 9);
  BOOST_TEST(parse_signal("NOPE").has_error());
  BOOST_TEST(exit_status::killed(9).text() == "killed by SIGKILL");
}

BOOST_AUTO_TEST_SUITE_END()

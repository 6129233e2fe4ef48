#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/git/manifest.hpp>

using namespace remora;
using namespace remora::git;

BOOST_AUTO_TEST_SUITE(git_manifest)

BOOST_AUTO_TEST_CASE(W9_a_manifest_keeps_every_byte_of_a_path_through_json) {
  manifest m;
  m.left_out = {{"pipe\nline", "fifo"}, {"\xff\xfe", "unreadable"}};
  m.empty_directories = {"plain", "\x80/x"};
  m.converted = {"a \"quoted\" one"};
  m.head_torn = true;
  const std::string text = boost::json::serialize(to_json(m));
  const auto back = manifest_from_json(boost::json::parse(text).as_object());
  BOOST_REQUIRE(back.has_value());
  BOOST_TEST((back->left_out == m.left_out));
  BOOST_TEST(back->empty_directories == m.empty_directories, boost::test_tools::per_element());
  BOOST_TEST(back->converted == m.converted, boost::test_tools::per_element());
  BOOST_TEST(back->head_torn);
}

BOOST_AUTO_TEST_CASE(an_empty_manifest_is_read_from_an_empty_object) {
  const auto m = manifest_from_json({});
  BOOST_REQUIRE(m.has_value());
  BOOST_TEST(m->left_out.empty());
  BOOST_TEST(!m->head_torn);
}

BOOST_AUTO_TEST_CASE(a_manifest_of_the_wrong_shape_is_corrupt) {
  for (const char* text : {R"({"left_out": 3})", R"({"left_out": ["x"]})",
                           R"({"left_out": [{"reason": "x"}]})", R"({"converted": [7]})"})
    BOOST_TEST(manifest_from_json(boost::json::parse(text).as_object()).error().is(errc::corrupt),
               text);
}

BOOST_AUTO_TEST_CASE(the_staged_state_survives_json_with_stages_and_flags) {
  index_state s;
  s.known = true;
  s.note = "note";
  const oid id = oid::parse("0123456789abcdef0123456789abcdef01234567").value();
  s.entries = {{"a", 0, mode::executable, id, true, false, true},
               {"\xe9", 3, mode::symlink, id, false, true, false}};
  s.removed = {"gone", "\xff"};
  const std::string text = boost::json::serialize(to_json(s));
  const auto back = index_from_json(boost::json::parse(text).as_object());
  BOOST_REQUIRE(back.has_value());
  BOOST_TEST(back->known);
  BOOST_TEST(back->note == "note");
  BOOST_TEST((back->entries == s.entries));
  BOOST_TEST(back->removed == s.removed, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_index_entry_that_git_cannot_have_is_corrupt) {
  const std::string id = "0123456789abcdef0123456789abcdef01234567";
  const auto read = [](const std::string& entry) {
    return index_from_json(boost::json::parse(R"({"entries":[)" + entry + "]}").as_object());
  };
  BOOST_TEST(read(R"({"path":"a","mode":"100644","id":")" + id + R"("})").has_value());
  BOOST_TEST(read(R"({"path":"a","mode":"100600","id":")" + id + R"("})").has_error());
  BOOST_TEST(read(R"({"path":"a","mode":"100644","id":"xyz"})").has_error());
  BOOST_TEST(read(R"({"path":"a","mode":"100644","stage":4,"id":")" + id + R"("})").has_error());
  BOOST_TEST(read(R"({"mode":"100644","id":")" + id + R"("})").has_error());
}

BOOST_AUTO_TEST_SUITE_END()

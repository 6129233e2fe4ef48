// The lines of an agent's socket: what is understood, and what is said to who is not.
#include "run/agent_request.hpp"

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

using namespace remora;
using namespace remora::run;

BOOST_AUTO_TEST_SUITE(agent_requests)

namespace {

/// What is wrong with it; empty: nothing.
std::string wrong(std::string_view line) {
  const auto request = parse_request(line);
  if (request) return {};
  BOOST_TEST(request.error().is(errc::usage));
  return request.error().what;
}

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// `done: a; pending: b`.
std::string words(const result<agent::plan>& plan) {
  if (!plan) return plan.error().what;
  std::string text;
  for (const agent::plan_item& item : plan->items)
    text += (text.empty() ? "" : "; ") + std::string(agent::name(item.status)) + ": " + item.text;
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_command) {
  const auto plain = parse_request(R"({"command":"checkpoint"})");
  BOOST_TEST(std::get<checkpoint_request>(*plain).note == "");
  const auto noted = parse_request(R"({"command":"checkpoint","note":" before the merge\n"})");
  BOOST_TEST(std::get<checkpoint_request>(*noted).note == "before the merge");
  const auto note = parse_request(R"({"command":"note","text":"a\nb\n","later":1})");
  BOOST_TEST(std::get<note_request>(*note).text == "a\nb");
  BOOST_TEST(std::holds_alternative<left_request>(*parse_request(R"( {"command":"left"} )")));
  const auto plan = parse_request(R"({"command":"plan","items":[{"text":"a"}]})");
  BOOST_TEST(std::get<agent::plan>(*plan).items.size() == 1u);
  const auto same = parse_request(R"({"command":"plan","text":"- [ ] a"})");
  BOOST_TEST(std::get<agent::plan>(*same).items.size() == 1u);
}

BOOST_AUTO_TEST_CASE(what_is_no_request_is_told_so) {
  for (const char* line : {"", "left", "[]", "{\"command\":\"left\"", "{}{}", "null", "\xff"})
    BOOST_TEST_CONTEXT(line) BOOST_TEST(says(wrong(line), R"({"command":"left"})"));
  BOOST_TEST(says(wrong("{}"), "'command' is missing: checkpoint, note, plan or left"));
  BOOST_TEST(says(wrong(R"({"command":7})"), "'command' is missing"));
  BOOST_TEST(says(wrong(R"({"command":"stop"})"), "'stop' is no command: checkpoint, note"));
  std::string deep(5'000, '[');
  BOOST_TEST(wrong(R"({"command":"left","x":)" + deep) != "");
}

BOOST_AUTO_TEST_CASE(what_a_command_lacks_is_named) {
  BOOST_TEST(says(wrong(R"({"command":"note"})"), "'text' is missing"));
  BOOST_TEST(says(wrong(R"({"command":"note","text":" \n"})"), "'text' is empty"));
  BOOST_TEST(says(wrong(R"({"command":"note","text":["a"]})"), "'text' is not a string"));
  BOOST_TEST(says(wrong(R"({"command":"checkpoint","note":true})"), "'note' is not a string"));
  BOOST_TEST(says(wrong(R"({"command":"plan"})"), "'text' is missing"));
  BOOST_TEST(says(wrong(R"({"command":"plan","items":{}})"), "'items' is not an array"));
}

BOOST_AUTO_TEST_CASE(a_plan_as_json) {
  BOOST_TEST(words(parse_plan(R"([{"text":" a ","status":"done"},{"text":"b"},
      {"text":"c","status":"in_progress","id":3},{"text":"d","status":"dropped"},
      {"text":"e","status":"completed"},{"text":"f","status":"cancelled"}])")) ==
             "done: a; pending: b; in_progress: c; dropped: d; done: e; dropped: f");
  BOOST_TEST(words(parse_plan("[]")) == "");
  BOOST_TEST(says(words(parse_plan("[{")), "begins as a JSON array and is none"));
  BOOST_TEST(says(words(parse_plan("[1]")), "item 1 of the plan is not an object"));
  BOOST_TEST(
      says(words(parse_plan(R"([{"text":"a"},{"text":""}])")), "item 2 of the plan: 'text'"));
  BOOST_TEST(says(words(parse_plan(R"([{"text":"a","status":"soon"}])")),
                  "item 1 of the plan: 'status' is one of pending, in_progress, done, dropped"));
  BOOST_TEST(says(words(parse_plan(R"([{"text":"a","status":null}])")), "'status' is one of"));
}

BOOST_AUTO_TEST_CASE(a_plan_as_markdown) {
  BOOST_TEST(words(parse_plan("# Plan\n\n- [x] read the code\n* [ ] write a test\r\n"
                              "  + [~] mend it\n1. [X] a\n22) [-] b\n\ttext - [x] no item\n"
                              "- [x]\n- [?] no\n- [ ]nor this?\n-[ ] nor this\n- plain\n")) ==
             "done: read the code; pending: write a test; in_progress: mend it; done: a; "
             "dropped: b; pending: nor this?");
  BOOST_TEST(says(words(parse_plan("do this, then that")), "write lines like '- [ ] text'"));
  BOOST_TEST(says(words(parse_plan("")), "no plan is in it"));
}

BOOST_AUTO_TEST_CASE(a_plan_has_an_end) {
  std::string markdown, array = "[";
  for (std::size_t i = 0; i <= most_plan_items; ++i) {
    markdown += "- [ ] a\n";
    array += std::string(i > 0 ? "," : "") + R"({"text":"a"})";
  }
  BOOST_TEST(says(words(parse_plan(markdown)), "at most 1000 items"));
  BOOST_TEST(says(words(parse_plan(array + "]")), "at most 1000 items"));
}

BOOST_AUTO_TEST_CASE(answers) {
  BOOST_TEST(accepted() == R"({"ok":true})");
  BOOST_TEST(accepted({{"items", 2}}) == R"({"ok":true,"items":2})");
  BOOST_TEST(refused(fail(errc::usage, "a \"b\"\n")) == R"({"error":"a \"b\"\n","usage":true})");
  BOOST_TEST(refused(fail(errc::stopped, "it ends")) == R"({"error":"it ends"})");
}

BOOST_AUTO_TEST_CASE(what_was_told_is_read_again_as_far_as_it_is_whole) {
  const agent::plan plan{{{"a\nb", agent::plan_status::done}, {"c", agent::plan_status::pending}}};
  const std::string line = to_line({7, plan});
  BOOST_TEST(line.find('\n') == std::string::npos);
  const auto read = read_told(line + "\nnonsense\n{\"at\":9}\n" + to_line({9, agent::plan{}}) +
                              "\n" + line.substr(0, line.size() / 2));
  BOOST_REQUIRE(read.size() == 2u);
  BOOST_TEST(read[0].at == 7u);
  BOOST_TEST(words(std::get<agent::plan>(read[0].event)) == "done: a\nb; pending: c");
  BOOST_TEST(read[1].at == 9u);
  BOOST_TEST(read_told("").empty());
}

BOOST_AUTO_TEST_SUITE_END()

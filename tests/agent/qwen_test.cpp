#include <signal.h>

#include <boost/test/unit_test.hpp>

#include "summary.hpp"

namespace remora::agent {
namespace {

constexpr std::string_view init =
    R"({"type":"system","subtype":"init","session_id":"s1","model":"m","cwd":"/w"})";

std::string says(std::string_view id, std::string_view blocks, std::string_view more = "") {
  return fmt::format(R"({{"type":"assistant","message":{{"id":"{}","content":[{}]{}}}}})", id,
                     blocks, more);
}
std::string text(std::string_view t) {
  return fmt::format(R"({{"type":"text","text":"{}"}})", t);
}
std::string uses(std::string_view id, std::string_view name) {
  return fmt::format(R"({{"type":"tool_use","id":"{}","name":"{}","input":{{}}}})", id, name);
}
std::string gives(std::string_view id) {
  return fmt::format(
      R"({{"type":"user","message":{{"content":[{{"type":"tool_result","tool_use_id":"{}","content":"r"}}]}}}})",
      id);
}
std::string result(std::string_view t) {
  return fmt::format(R"({{"type":"result","subtype":"success","is_error":false,"result":"{}"}})",
                     t);
}
constexpr std::string_view none = R"(,"stop_reason":null,"usage":{"input_tokens":0})";
constexpr std::string_view used =
    R"(,"stop_reason":"tool_use","usage":{"input_tokens":12,"output_tokens":3,"cache_read_input_tokens":10})";

played play_qwen(std::initializer_list<std::string> lines,
                 const exit_status& status = exit_status::exited(0), std::string_view err = "") {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return play("qwen", out, err, status);
}

std::string verdict_of(const played& run) {
  return std::string(name(run.outcome.verdict)) + "{" + run.outcome.detail + "}";
}

std::string verdict_of_result(std::string_view t) {
  return verdict_of(play_qwen({std::string(init), says("a", text(t), none), result(t)}));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(qwen_adapter)

BOOST_AUTO_TEST_CASE(blocks_of_different_ids_are_one_answer_until_one_says_that_it_is_the_last) {
  const played run =
      play_qwen({std::string(init), says("a", text("x"), none), says("b", uses("1", "glob"), used),
                 gives("1"), says("c", text("y"), none)});
  BOOST_TEST(summary(run.events) ==
             "session_started m /w\nprompt_started\nturn_started\nmessage x\ntool_call glob\n"
             "usage 2+3 cached 10 cost 0.00000\ntool_result ok r\nturn_ended\nturn_started\n"
             "message y\nusage 0+1 cached 0 cost 0.00000 estimated\nturn_ended\nprompt_ended\n");
}

BOOST_AUTO_TEST_CASE(without_any_such_word_the_results_part_the_answers) {
  const played run = play_qwen({std::string(init), says("a", uses("1", "edit")), gives("1"),
                                says("b", uses("2", "edit")), gives("2")});
  BOOST_TEST(run.count<turn_started>() == 2u);
}

BOOST_AUTO_TEST_CASE(an_error_in_place_of_an_answer_fails_though_it_says_success) {
  BOOST_TEST(verdict_of_result("[API Error: 429 slow down, try again later]") == "rate_limited{}");
  BOOST_TEST(verdict_of_result("[API Error: 401 invalid]") == "auth_failed{}");
  BOOST_TEST(verdict_of_result("half an answ[API Error: 503 busy]") == "overloaded{}");
  BOOST_TEST(verdict_of_result("[API Error: what?]") == "failed{0}");
}

BOOST_AUTO_TEST_CASE(an_answer_that_speaks_of_such_an_error_is_an_answer) {
  const std::string answer = "I now handle [API Error: 429 slow down]";
  const played run = play_qwen({std::string(init), says("a", text(answer), used), result(answer)});
  BOOST_TEST(verdict_of(run) == "completed{}");
  BOOST_TEST(run.first<message>().text == answer);
}

BOOST_AUTO_TEST_CASE(a_half_answer_is_told_without_the_error_behind_it) {
  const played run = play_qwen({std::string(init), says("a", text("half[API Error: x]"), none)});
  BOOST_TEST(run.first<message>().text == "half");
}

BOOST_AUTO_TEST_CASE(exits_of_its_own_are_known) {
  BOOST_TEST(verdict_of(play_qwen({}, exit_status::exited(53))) == "budget{turns}");
  BOOST_TEST(verdict_of(play_qwen({}, exit_status::exited(41))) == "auth_failed{}");
  BOOST_TEST(verdict_of(play_qwen({}, exit_status::exited(130))) == "failed{130}");
  BOOST_TEST(verdict_of(play_qwen({std::string(init)})) == "crashed{no_result}");
  BOOST_TEST(verdict_of(play_qwen({}, exit_status::killed(SIGTERM))) == "crashed{SIGTERM}");
}

BOOST_AUTO_TEST_CASE(a_version_that_owns_up_to_its_errors_is_understood) {
  const std::string line =
      R"({"type":"result","subtype":"error_during_execution","is_error":true,"error":{"message":"[API Error: 529 overloaded]"}})";
  BOOST_TEST(verdict_of(play_qwen({line}, exit_status::exited(1))) == "overloaded{}");
}

BOOST_AUTO_TEST_CASE(usage_is_taken_from_the_result_only_where_no_block_told_it) {
  const std::string total =
      R"({"type":"result","subtype":"success","result":"x","usage":{"input_tokens":7,"output_tokens":2}})";
  BOOST_TEST(
      play_qwen({std::string(init), says("a", text("x")), total}).first<usage>().input_tokens ==
      7u);
  const played metered = play_qwen({std::string(init), says("a", text("x"), used), total});
  BOOST_TEST(metered.count<usage>() == 1u);
}

BOOST_AUTO_TEST_CASE(the_prompt_is_one_line_on_stdin) {
  const adapter& a = *find_adapter("qwen").value();
  const launch l =
      a.plan_launch({"q", "qwen", {}, {"-m", "x"}, permissions::full, {}}, {"do it", "s1"});
  BOOST_TEST(
      (l.argv == std::vector<std::string>{"qwen", "-o", "stream-json", "--input-format",
                                          "stream-json", "--yolo", "--resume", "s1", "-m", "x"}));
  BOOST_TEST(l.stdin_bytes ==
             "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":\"do it\"},"
             "\"parent_tool_use_id\":null,\"session_id\":\"\"}\n");
  BOOST_TEST(l.keep_stdin_open);
  BOOST_TEST((l.environment ==
              std::vector<std::pair<std::string, std::string>>{{"QWEN_CODE_NO_RELAUNCH", "true"}}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

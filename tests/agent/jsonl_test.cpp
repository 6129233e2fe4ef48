#include <signal.h>

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/agent/parse.hpp>
#include <sstream>

#include "summary.hpp"

namespace remora::agent {
namespace {

played play_jsonl(std::string_view out, const exit_status& status = exit_status::exited(0)) {
  return play("jsonl", out, "", status);
}

std::string verdict_of(const played& run) {
  return std::string(name(run.outcome.verdict)) + "{" + run.outcome.detail + "}";
}

constexpr std::string_view said_done = R"({"type":"finished","ok":true,"text":"all done"})";

}  // namespace

BOOST_AUTO_TEST_SUITE(jsonl_adapter)

BOOST_AUTO_TEST_CASE(neutral_events_pass_as_they_are) {
  const played run = play_jsonl(R"({"type":"turn_started"}
{"type":"message","text":"hi"}
{"type":"note","text":"because"}
{"type":"turn_ended"}
{"type":"finished","ok":true,"text":"all done"})");
  BOOST_TEST(summary(run.events) ==
             "turn_started\nmessage hi\nnote because\nturn_ended\nfinished ok all done\n");
  BOOST_TEST(summary(run.outcome) == "outcome completed{} all done\n");
}

BOOST_AUTO_TEST_CASE(success_needs_the_word_and_the_exit) {
  BOOST_TEST(verdict_of(play_jsonl(said_done)) == "completed{}");
  BOOST_TEST(verdict_of(play_jsonl(said_done, exit_status::exited(3))) == "failed{3}");
  BOOST_TEST(verdict_of(play_jsonl(said_done, exit_status::killed(SIGKILL))) == "crashed{SIGKILL}");
  BOOST_TEST(verdict_of(play_jsonl("")) == "crashed{no_result}");
  BOOST_TEST(verdict_of(play_jsonl("", exit_status::exited(3))) == "failed{3}");
  BOOST_TEST(verdict_of(play_jsonl(R"({"type":"finished","ok":false})")) == "failed{0}");
}

BOOST_AUTO_TEST_CASE(a_final_error_says_why_it_failed) {
  const auto run = [](std::string_view kind, std::string_view more, int code) {
    return play_jsonl(fmt::format(R"({{"type":"error","kind":"{}"{}}})", kind, more),
                      exit_status::exited(code));
  };
  BOOST_TEST(verdict_of(run("rate_limited", R"(,"retry_at":"2026-01-02T00:00:00Z")", 1)) ==
             "rate_limited{2026-01-02T00:00:00Z}");
  BOOST_TEST(verdict_of(run("overloaded", "", 0)) == "overloaded{}");
  BOOST_TEST(verdict_of(run("auth", "", 1)) == "auth_failed{}");
  BOOST_TEST(verdict_of(run("context", "", 1)) == "context_full{}");
  BOOST_TEST(verdict_of(run("network", "", 1)) == "network{}");
  BOOST_TEST(verdict_of(run("refused", "", 1)) == "refused{}");
  BOOST_TEST(verdict_of(run("other", "", 5)) == "failed{5}");
}

BOOST_AUTO_TEST_CASE(an_error_that_was_overcome_does_not_count) {
  const std::string passing = R"({"type":"error","kind":"rate_limited","transient":true})";
  BOOST_TEST(verdict_of(play_jsonl(passing, exit_status::exited(1))) == "failed{1}");
  const std::string lasting = R"({"type":"error","kind":"rate_limited"})";
  BOOST_TEST(verdict_of(play_jsonl(lasting + "\n" + std::string(said_done))) == "completed{}");
}

BOOST_AUTO_TEST_CASE(missing_markers_are_balanced) {
  const played open = play_jsonl("{\"type\":\"prompt_started\"}\n{\"type\":\"turn_started\"}");
  BOOST_TEST(summary(open.events) == "prompt_started\nturn_started\nturn_ended\nprompt_ended\n");
  const played twice = play_jsonl("{\"type\":\"turn_started\"}\n{\"type\":\"turn_started\"}");
  BOOST_TEST(summary(twice.events) == "turn_started\nturn_ended\nturn_started\nturn_ended\n");
  const played ends = play_jsonl("{\"type\":\"turn_ended\"}\n{\"type\":\"prompt_ended\"}");
  BOOST_TEST(summary(ends.events) == "turn_started\nturn_ended\nprompt_started\nprompt_ended\n");
}

BOOST_AUTO_TEST_CASE(what_is_open_ends_before_the_word_that_it_finished) {
  const played run = play_jsonl("{\"type\":\"turn_started\"}\n" + std::string(said_done));
  BOOST_TEST(summary(run.events) == "turn_started\nturn_ended\nfinished ok all done\n");
}

BOOST_AUTO_TEST_CASE(garbage_is_kept_and_never_fatal) {
  const played run = play_jsonl("hello\n[1]\n{\"type\":\"dance\"}\n{\"type\":\"mess");
  BOOST_TEST(
      summary(run.events) ==
      "unknown hello\nunknown [1]\nunknown {\"type\":\"dance\"}\nunknown {\"type\":\"mess\n");
}

BOOST_AUTO_TEST_CASE(O12_deep_nesting_is_not_followed) {
  const std::string deep = R"({"type":"tool_call","input":)" + std::string(100000, '[');
  BOOST_TEST(play_jsonl(deep + std::string(100000, ']') + "}").count<unknown>() == 1u);
}

BOOST_AUTO_TEST_CASE(O4_what_a_parser_refuses_but_programs_print_is_mended) {
  BOOST_TEST(play_jsonl("{\"type\":\"message\",\"text\":\"a\xff\"}").first<message>().text ==
             "a\xEF\xBF\xBD");
  BOOST_TEST(play_jsonl(R"({"type":"message","text":"a\ud83d b \ud83d\ude00 \\ud83d"})")
                 .first<message>()
                 .text == "a\xEF\xBF\xBD b \xF0\x9F\x98\x80 \\ud83d");
  BOOST_TEST(play_jsonl("{\"type\":\"message\",\"text\":\"a\tb\"}").first<message>().text == "a b");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(parse_stream_to_json)

BOOST_AUTO_TEST_CASE(events_are_lines_and_the_last_one_is_the_outcome) {
  std::istringstream out(
      "{\"type\":\"usage\",\"input_tokens\":2}\n{\"type\":\"usage\",\"input_tokens\":3,"
      "\"estimated\":true}\n" +
      std::string(said_done));
  std::ostringstream json;
  BOOST_REQUIRE(
      parse_stream(*find_adapter("jsonl").value(), out, nullptr, exit_status::exited(0), json));
  const std::string text = json.str();
  const auto lines = split(trim(text), '\n');
  BOOST_REQUIRE(lines.size() == 4u);
  BOOST_TEST(lines[2] == R"({"type":"finished","ok":true,"text":"all done"})");
  BOOST_TEST(lines[3].starts_with(
      R"({"type":"outcome","success":true,"verdict":"completed","detail":"","text":"all done","usage":{"input_tokens":5,)"));
  BOOST_TEST(lines[3].ends_with(R"("estimated":true}})"));
}

BOOST_AUTO_TEST_CASE(stderr_gives_the_words_of_a_failure) {
  std::istringstream out, err("no such model");
  std::ostringstream json;
  BOOST_REQUIRE(
      parse_stream(*find_adapter("text").value(), out, &err, exit_status::exited(1), json));
  BOOST_TEST(json.str().starts_with(
      R"({"type":"outcome","success":false,"verdict":"failed","detail":"1","text":"no such model")"));
}

BOOST_AUTO_TEST_CASE(output_that_cannot_be_written_is_an_error) {
  std::istringstream out("a\n");
  std::ostringstream json;
  json.setstate(std::ios::badbit);
  const auto done =
      parse_stream(*find_adapter("text").value(), out, nullptr, exit_status::exited(0), json);
  BOOST_REQUIRE(!done);
  BOOST_TEST(done.error().is(errc::environment));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

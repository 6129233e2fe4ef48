#include <signal.h>

#include <boost/test/unit_test.hpp>

#include "summary.hpp"

namespace remora::agent {
namespace {

std::string verdict_of(const played& run) {
  return std::string(name(run.outcome.verdict)) + "{" + run.outcome.detail + "}";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(text_adapter)

BOOST_AUTO_TEST_CASE(each_line_is_a_piece_of_the_message) {
  const played run = play("text", "one\n\ntwo", "", exit_status::exited(0));
  BOOST_TEST(summary(run.events) == "message delta one\nmessage delta two\nfinished ok one…\n");
  BOOST_TEST(run.first<message>().text == "one\n");
  BOOST_TEST(run.first<finished>().text == "one\ntwo");
  BOOST_TEST(verdict_of(run) == "completed{}");
  BOOST_TEST(run.outcome.text == "one\ntwo");
}

BOOST_AUTO_TEST_CASE(a_program_that_says_nothing_may_succeed) {
  BOOST_TEST(verdict_of(play("text", "", "", exit_status::exited(0))) == "completed{}");
}

BOOST_AUTO_TEST_CASE(a_failure_speaks_by_stderr_or_else_by_the_last_output) {
  const played loud = play("text", "out", "first\nlast", exit_status::exited(7));
  BOOST_TEST(verdict_of(loud) == "failed{7}");
  BOOST_TEST(loud.outcome.text == "first\nlast");
  BOOST_TEST(loud.count<finished>() == 0u);
  BOOST_TEST(play("text", "out", "", exit_status::exited(7)).outcome.text == "out");
}

BOOST_AUTO_TEST_CASE(a_signal_is_a_crash) {
  BOOST_TEST(verdict_of(play("text", "", "", exit_status::killed(SIGSEGV))) == "crashed{SIGSEGV}");
}

BOOST_AUTO_TEST_CASE(O3_endless_output_keeps_only_its_end) {
  const auto p = find_adapter("text").value()->make_parser();
  std::vector<event> events;
  for (int i = 0; i < 2000; ++i) {
    p->out_line(std::string(1000, static_cast<char>('a' + i % 26)), events);
    events.clear();
  }
  p->out_line(std::string(1 << 20, 'z'), events);
  BOOST_TEST(std::get<message>(events.front()).text.size() <= (64u << 10) + 1);
  events.clear();
  p->out_line("the end", events);
  const outcome o = p->conclude(exit_status::exited(0), events);
  BOOST_TEST(o.text.ends_with("the end"));
  BOOST_TEST(std::get<finished>(events.back()).text.size() <= 16u << 10);
}

BOOST_AUTO_TEST_CASE(a_long_stderr_keeps_its_beginning_and_its_end) {
  std::string err = "what went wrong\n";
  for (int i = 0; i < 1000; ++i) err += "usage: " + std::to_string(i) + "\n";
  const outcome o = play("text", "", err, exit_status::exited(2)).outcome;
  BOOST_TEST(o.text.starts_with("what went wrong\n"));
  BOOST_TEST(o.text.ends_with("usage: 999"));
  BOOST_TEST(o.text.size() <= 4096u);
}

BOOST_AUTO_TEST_CASE(the_prompt_goes_to_stdin_and_end_of_file_follows) {
  const adapter& a = *find_adapter("text").value();
  const agent_config config{"me", "text", {"sh", "-c"}, {"cat"}, permissions::full, {"MY_*"}};
  const launch l = a.plan_launch(config, {"do\nit", ""});
  BOOST_TEST((l.argv == std::vector<std::string>{"sh", "-c", "cat"}));
  BOOST_TEST(l.stdin_bytes == "do\nit");
  BOOST_TEST(!l.keep_stdin_open);
  BOOST_TEST((l.pass_env == std::vector<std::string>{"MY_*"}));
  BOOST_TEST(a.first_output_limit().count() == 0);
  BOOST_TEST(!a.resumes_sessions());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(adapter_list)

BOOST_AUTO_TEST_CASE(adapters_are_sorted_by_name) {
  std::vector<std::string> names;
  for (const adapter* a : adapters()) names.emplace_back(a->name());
  BOOST_TEST((names == std::vector<std::string>{"claude", "jsonl", "qwen", "text"}));
}

BOOST_AUTO_TEST_CASE(an_unknown_adapter_is_refused_with_the_names_of_those_there_are) {
  const auto none = find_adapter("cursor");
  BOOST_REQUIRE(!none);
  BOOST_TEST(none.error().is(errc::usage));
  BOOST_TEST(none.error().what ==
             "there is no adapter 'cursor'; there are claude, jsonl, qwen, text");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

#include <signal.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

#include "summary.hpp"

namespace remora::agent {
namespace {

namespace json = boost::json;

constexpr std::string_view init =
    R"({"type":"system","subtype":"init","session_id":"s1","model":"m","cwd":"/w"})";

/// Fragments of lines as the CLI prints them; `tests/agent/captures` has whole ones.
std::string says(std::string_view id, std::string_view block, std::string_view parent = "null") {
  return fmt::format(
      R"({{"type":"assistant","message":{{"id":"{}","content":[{}]}},"parent_tool_use_id":{}}})",
      id, block, parent);
}
std::string text(std::string_view t) {
  return fmt::format(R"({{"type":"text","text":"{}"}})", t);
}
std::string uses(std::string_view id, std::string_view name, std::string_view input = "{}") {
  return fmt::format(R"({{"type":"tool_use","id":"{}","name":"{}","input":{}}})", id, name, input);
}
std::string gives(std::string_view id, std::string_view more = "", std::string_view line = "") {
  return fmt::format(
      R"({{"type":"user","message":{{"content":[{{"type":"tool_result","tool_use_id":"{}","content":"r"{}}}]}}{}}})",
      id, more, line);
}
std::string result(std::string_view more) {
  return fmt::format(R"({{"type":"result"{}}})", more);
}
constexpr std::string_view success = R"(,"subtype":"success","is_error":false,"result":"done")";

std::string lines(std::initializer_list<std::string_view> all) {
  std::string out;
  for (const std::string_view line : all) out += std::string(line) + "\n";
  return out;
}

played play_claude(std::initializer_list<std::string_view> out,
                   const exit_status& status = exit_status::exited(0), std::string_view err = "") {
  return play("claude", lines(out), err, status);
}

std::string verdict_of(const played& run) {
  return std::string(name(run.outcome.verdict)) + "{" + run.outcome.detail + "}";
}

std::string verdict_of_result(std::string_view more, int code = 1) {
  return verdict_of(play_claude({init, result(more)}, exit_status::exited(code)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(claude_turns)

BOOST_AUTO_TEST_CASE(one_answer_is_one_turn_though_a_result_comes_between_its_calls) {
  const played run = play_claude({init, says("a", uses("1", "Read")), gives("1"),
                                  says("a", uses("2", "Read")), gives("2"), says("b", text("x"))});
  BOOST_TEST(summary(run.events) ==
             "session_started m /w\nprompt_started\nturn_started\ntool_call Read\n"
             "tool_result ok r\ntool_call Read\ntool_result ok r\nturn_ended\nturn_started\n"
             "message x\nusage 0+1 cached 0 cost 0.00000 estimated\nturn_ended\nprompt_ended\n");
}

BOOST_AUTO_TEST_CASE(a_turn_ends_at_the_last_result_once_the_answer_is_known_to_be_over) {
  const auto p = find_adapter("claude").value()->make_parser();
  std::vector<event> events;
  const auto in_turn = [&] {
    long open = 0;
    for (const event& e : events)
      open += std::holds_alternative<turn_started>(e) - std::holds_alternative<turn_ended>(e);
    return open == 1;
  };
  const auto feed = [&](const std::string& line) { p->out_line(line, events); };
  feed(R"({"type":"stream_event","event":{"type":"message_start","message":{"id":"a"}}})");
  feed(says("a", uses("1", "Bash")));
  feed(R"({"type":"stream_event","event":{"type":"message_stop"}})");
  BOOST_TEST(in_turn());
  feed(gives("1"));
  BOOST_TEST(!in_turn());
  feed(says("b", uses("2", "Bash")));
  feed(gives("2"));
  BOOST_TEST(in_turn());
  feed(R"({"type":"system","subtype":"thinking_tokens"})");
  BOOST_TEST(!in_turn());
}

BOOST_AUTO_TEST_CASE(streamed_pieces_are_not_told_again_as_a_whole) {
  const auto piece = [](std::string_view t) {
    return fmt::format(
        R"({{"type":"stream_event","event":{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{}"}}}}}})",
        t);
  };
  const played run = play_claude(
      {init, piece("hel"), piece("lo"), says("a", text("hello you")), says("a", text("whole"))});
  std::string told;
  for (const event& e : run.events)
    if (const auto* m = std::get_if<message>(&e)) told += m->text + (m->delta ? "+" : ".");
  BOOST_TEST(told == "hel+lo+ you+whole.");
}

BOOST_AUTO_TEST_CASE(a_subagents_words_are_not_the_agents_but_its_calls_are_told) {
  const played run =
      play_claude({init, says("a", uses("1", "Task")), says("s", text("inner"), R"("1")"),
                   says("s", uses("2", "Bash"), R"("1")"),
                   gives("2", "", R"(,"parent_tool_use_id":"1")"), gives("1"), result(success)});
  BOOST_TEST(summary(run.events) ==
             "session_started m /w\nprompt_started\nturn_started\ntool_call Task\n"
             "tool_call Bash mutates\ntool_result ok r\ntool_result ok r\nturn_ended\n"
             "prompt_ended\nfinished ok done\n");
}

BOOST_AUTO_TEST_CASE(a_repeated_init_is_a_new_prompt_and_no_new_session) {
  const played run = play_claude({init, result(success), init, says("b", text("again"))});
  BOOST_TEST(run.count<session_started>() == 1u);
  BOOST_TEST(run.count<prompt_started>() == 2u);
  BOOST_TEST(verdict_of(run) == "crashed{no_result}");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(claude_tools)

BOOST_AUTO_TEST_CASE(a_write_that_did_not_happen_is_only_proposed) {
  const std::string write = uses("1", "Write", R"({"file_path":"/w/a","content":"new"})");
  const played open = play_claude({init, says("a", write)}, exit_status::killed(SIGKILL));
  BOOST_TEST(!open.first<file_change>().applied);
  BOOST_TEST(open.first<file_change>().path == "a");
  BOOST_TEST(open.first<file_change>().content.value() == "new");
  const played failed = play_claude({init, says("a", write), gives("1", R"(,"is_error":true)")});
  BOOST_TEST(failed.count<file_change>() == 1u);
  BOOST_TEST(!failed.first<file_change>().applied);
}

BOOST_AUTO_TEST_CASE(an_edit_that_happened_has_no_content_and_its_kind) {
  const played run = play_claude(
      {init, says("a", uses("1", "Edit", R"({"file_path":"/else/b","new_string":"n"})")),
       gives("1", "", R"(,"tool_use_result":{"filePath":"/else/b"})"),
       says("a", uses("2", "NotebookEdit", R"({"notebook_path":"/w/c/n.ipynb"})")), gives("2")});
  BOOST_TEST(summary(run.events).find("file_change applied modify /else/b") != std::string::npos);
  BOOST_TEST(summary(run.events).find("file_change applied modify c/n.ipynb") != std::string::npos);
  BOOST_TEST(!run.first<file_change>().content.has_value());
}

BOOST_AUTO_TEST_CASE(a_directory_that_only_begins_like_the_cwd_is_not_beneath_it) {
  const played run =
      play_claude({init, says("a", uses("1", "Write", R"({"file_path":"/walk/a"})")), gives("1")});
  BOOST_TEST(run.first<file_change>().path == "/walk/a");
}

BOOST_AUTO_TEST_CASE(proposed_content_is_cut_at_16_KiB) {
  const std::string input =
      fmt::format(R"({{"file_path":"/w/a","content":"{}"}})", std::string(20000, 'x'));
  const played run = play_claude({init, says("a", uses("1", "Write", input))});
  BOOST_TEST(run.first<file_change>().content->size() == 16u << 10);
}

BOOST_AUTO_TEST_CASE(tasks_make_up_a_plan) {
  const played run = play_claude(
      {init, says("a", uses("1", "TaskCreate", R"({"subject":"one"})")),
       gives("1", "", R"(,"tool_use_result":{"task":{"id":1}})"),
       says("a", uses("2", "TaskCreate", R"({"subject":"two"})")),
       R"({"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"2","content":[{"type":"text","text":"Task #2 created"}]}]}})",
       says("a", uses("3", "TaskUpdate", R"({"taskId":2,"status":"deleted"})")), gives("3"),
       says("a", uses("4", "TaskUpdate", R"({"taskId":"1","status":"in_progress"})")), gives("4")});
  BOOST_TEST(summary(run.events).find("plan [in_progress] one [dropped] two\n") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(tools_that_only_look_do_not_mutate_and_unknown_ones_do) {
  const played run = play_claude({init, says("a", uses("1", "Grep")), says("a", uses("2", "Bash")),
                                  says("a", uses("3", "mcp__db__query"))});
  const std::string told = summary(run.events);
  BOOST_TEST(told.find("tool_call Grep\n") != told.npos);
  BOOST_TEST(told.find("tool_call Bash mutates\n") != told.npos);
  BOOST_TEST(told.find("tool_call mcp__db__query mutates\n") != told.npos);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(claude_outcomes)

BOOST_AUTO_TEST_CASE(success_needs_the_result_and_a_clean_exit) {
  BOOST_TEST(verdict_of_result(success, 0) == "completed{}");
  BOOST_TEST(verdict_of_result(success, 143) == "failed{143}");
  BOOST_TEST(verdict_of(play_claude({init, result(success)}, exit_status::killed(SIGTERM))) ==
             "crashed{SIGTERM}");
  BOOST_TEST(verdict_of(play_claude({init})) == "crashed{no_result}");
  BOOST_TEST(verdict_of_result(R"(,"subtype":"success","is_error":true,"result":"?")", 0) ==
             "failed{0}");
}

BOOST_AUTO_TEST_CASE(limits_of_its_own_are_budgets) {
  BOOST_TEST(verdict_of_result(R"(,"subtype":"error_max_turns","is_error":true)") ==
             "budget{turns}");
  BOOST_TEST(verdict_of_result(R"(,"subtype":"error_max_budget_usd","is_error":true)") ==
             "budget{cost}");
}

BOOST_AUTO_TEST_CASE(a_status_may_be_a_number_or_a_string) {
  BOOST_TEST(verdict_of_result(R"(,"is_error":true,"api_error_status":429)") == "rate_limited{}");
  BOOST_TEST(verdict_of_result(R"(,"is_error":true,"api_error_status":"529")") == "overloaded{}");
  BOOST_TEST(verdict_of_result(R"(,"is_error":true,"api_error_status":-1e999)") == "failed{1}");
  BOOST_TEST(verdict_of_result(R"(,"is_error":"true","api_error_status":403)") == "auth_failed{}");
}

BOOST_AUTO_TEST_CASE(what_the_model_would_not_do_is_refused) {
  BOOST_TEST(verdict_of_result(R"(,"subtype":"success","is_error":false,"stop_reason":"refusal")",
                               0) == "refused{}");
}

BOOST_AUTO_TEST_CASE(a_rate_limit_names_the_reset_where_the_text_or_an_event_does) {
  BOOST_TEST(verdict_of_result(
                 R"(,"is_error":true,"result":"Claude AI usage limit reached|1763740800")") ==
             "rate_limited{2025-11-21T16:00:00.000Z}");
  const played run = play_claude(
      {init,
       R"({"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1763740800}})",
       result(R"(,"is_error":true,"api_error_status":429)")},
      exit_status::exited(1));
  BOOST_TEST(verdict_of(run) == "rate_limited{2025-11-21T16:00:00.000Z}");
  BOOST_TEST(run.count<unknown>() == 0u);
}

BOOST_AUTO_TEST_CASE(an_error_that_was_shown_counts_though_its_result_is_missing) {
  const played run = play_claude(
      {init,
       R"({"type":"assistant","error":"authentication_failed","message":{"model":"<synthetic>","content":[{"type":"text","text":"Invalid API key"}]}})"},
      exit_status::exited(1));
  BOOST_TEST(verdict_of(run) == "auth_failed{}");
  BOOST_TEST(run.count<message>() == 0u);
  BOOST_TEST(run.count<agent_error>() == 1u);
}

BOOST_AUTO_TEST_CASE(stderr_is_read_where_there_is_no_result) {
  const played run = play_claude({}, exit_status::exited(1), "Error: 401 Unauthorized");
  BOOST_TEST(verdict_of(run) == "auth_failed{}");
  BOOST_TEST(run.outcome.text == "Error: 401 Unauthorized");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(claude_usage)

BOOST_AUTO_TEST_CASE(increments_add_up_to_the_totals_of_all_prompts) {
  const auto total = [](int in, int out, std::string_view cost) {
    return result(fmt::format(
        R"(,"is_error":false,"total_cost_usd":{},"modelUsage":{{"a":{{"inputTokens":{},"outputTokens":{}}},"b":{{"inputTokens":1,"cacheReadInputTokens":7}}}})",
        cost, in, out));
  };
  const std::string call =
      R"({"type":"assistant","message":{"id":"a","content":[],"usage":{"input_tokens":4,"output_tokens":1}}})";
  const played run =
      play_claude({init, call, call, total(10, 5, "0.25"), init, total(30, 6, "0.75")});
  std::uint64_t in = 0, out = 0, cached = 0;
  double cost = 0;
  for (const event& e : run.events)
    if (const auto* u = std::get_if<usage>(&e)) {
      in += u->input_tokens;
      out += u->output_tokens;
      cached += u->cached_tokens;
      cost += u->cost_usd;
    }
  BOOST_TEST(in == 31u);
  BOOST_TEST(out == 6u);
  BOOST_TEST(cached == 7u);
  BOOST_TEST(cost == 0.75);
}

BOOST_AUTO_TEST_CASE(a_killed_run_is_estimated_and_says_so) {
  const played run = play_claude({init, says("a", text("eight by"))}, exit_status::killed(SIGKILL));
  BOOST_TEST(run.first<usage>().output_tokens == 2u);
  BOOST_TEST(run.first<usage>().estimated);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(claude_tolerance)

BOOST_AUTO_TEST_CASE(lines_of_the_wrong_shape_are_harmless) {
  const played run = play_claude(
      {"", "   ", "null", "{", "{}", R"({"type":7})", R"({"type":"assistant"})",
       R"({"type":"assistant","message":[]})", R"({"type":"assistant","message":{"content":7}})",
       R"({"type":"assistant","message":{"content":"plain"}})",
       R"({"type":"assistant","message":{"id":9,"content":[7,{"type":"new"},{"type":"text"}]}})",
       R"({"type":"user","message":{"content":[{"type":"tool_result"}]}})",
       R"({"type":"stream_event","event":7})", R"({"type":"result","usage":[],"modelUsage":7})",
       R"({"type":"system","subtype":"of_tomorrow"})", R"({"type":"of_tomorrow"})"});
  BOOST_TEST(run.count<unknown>() == 10u);
  BOOST_TEST(run.count<message>() == 1u);
}

BOOST_AUTO_TEST_CASE(O12_deep_nesting_is_not_followed) {
  const std::string deep = says("a", uses("1", "X", std::string(100000, '[')));
  BOOST_TEST(play_claude({init, deep}).count<unknown>() == 1u);
  const std::string fine = std::string(60, '[') + std::string(60, ']');
  BOOST_TEST(play_claude({init, says("a", uses("1", "X", fine))}).count<tool_call>() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(claude_launch)

BOOST_AUTO_TEST_CASE(the_prompt_is_one_line_on_a_stdin_that_stays_open) {
  const adapter& a = *find_adapter("claude").value();
  const launch l = a.plan_launch({"c", "claude", {}, {"--model", "sonnet"}, permissions::full, {}},
                                 {"do\n\"it\" \xff", "s1"});
  BOOST_TEST((l.argv == std::vector<std::string>{"claude", "-p", "--input-format", "stream-json",
                                                 "--output-format", "stream-json", "--verbose",
                                                 "--dangerously-skip-permissions", "--resume", "s1",
                                                 "--model", "sonnet"}));
  BOOST_TEST(l.keep_stdin_open);
  BOOST_TEST(l.stdin_bytes ==
             "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":[{\"type\":\"text\","
             "\"text\":\"do\\n\\\"it\\\" \xEF\xBF\xBD\"}]},\"parent_tool_use_id\":null,"
             "\"session_id\":\"\"}\n");
  const std::pair<std::string, std::string> sandbox{"IS_SANDBOX", "1"};
  const bool told = std::ranges::find(l.environment, sandbox) != l.environment.end();
  BOOST_TEST(told == (geteuid() == 0));
}

BOOST_AUTO_TEST_CASE(default_permissions_skip_nothing) {
  const launch l = find_adapter("claude").value()->plan_launch(
      {"c", "claude", {"npx", "claude"}, {}, permissions::standard, {"AWS_*"}}, {"p", ""});
  BOOST_TEST(
      (l.argv == std::vector<std::string>{"npx", "claude", "-p", "--input-format", "stream-json",
                                          "--output-format", "stream-json", "--verbose"}));
  BOOST_TEST((l.pass_env == std::vector<std::string>{"ANTHROPIC_*", "CLAUDE_*", "AWS_*"}));
}

BOOST_AUTO_TEST_CASE(stdin_may_be_closed_after_the_first_result) {
  const auto p = find_adapter("claude").value()->make_parser();
  std::vector<event> events;
  p->out_line(init, events);
  BOOST_TEST(!p->wants_stdin_closed());
  p->out_line(result(success), events);
  BOOST_TEST(p->wants_stdin_closed());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

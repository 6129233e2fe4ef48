#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <remora/agent/state.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>

#include "json_schema.hpp"
#include "random_events.hpp"

using namespace remora;
using namespace remora::agent;
namespace json = boost::json;

namespace {

const wall_time t0 = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2);

agent_config coder() {
  agent_config a;
  a.name = "coder";
  a.adapter = "jsonl";
  return a;
}

state begun() {
  state s("20260102-000000-aaaa", "parser", "Fix the parser.");
  s.begin_attempt(1, coder(), t0);
  return s;
}

template <class... Events>
state after(Events... events) {
  state s = begun();
  (s.apply(events), ...);
  return s;
}

tool_call edit(std::string id, std::string path) {
  return {std::move(id), "Edit", json::object{{"file_path", path}}, true};
}

/// One event, or one of the calls that the run room makes.
void step(state& s, random_events& random, std::uint32_t& attempt) {
  const std::size_t what = random.below(200);
  if (what == 0) return s.set_notes(random.text());
  if (what == 1) return s.set_verification({true, random.text(), random.text(), attempt});
  if (what == 2)
    return s.end_attempt({verdict::failed, random.text(), random.text()},
                         t0 + std::chrono::hours(attempt));
  if (what == 3) return s.begin_attempt(++attempt, coder(), t0 + std::chrono::hours(attempt));
  s.apply(random.next());
}

state reread(const state& s) {
  return state::from_json(s.to_json()).value();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(state_fold)

BOOST_AUTO_TEST_CASE(streamed_pieces_become_one_message_when_the_turn_ends) {
  state s = after(message{"I will ", true}, message{"fix it.", true});
  BOOST_TEST(s.messages() == "I will fix it.");
  BOOST_TEST(s.last_message() == "");
  s.apply(turn_ended{});
  BOOST_TEST(s.last_message() == "I will fix it.");
  s.apply(message{"Done.", false});
  BOOST_TEST(s.last_message() == "Done.");
  BOOST_TEST(s.messages() == "I will fix it.\n\nDone.");
}

BOOST_AUTO_TEST_CASE(a_message_cut_off_by_the_end_of_the_attempt_is_its_last) {
  state s = after(message{"one", false}, message{"half a sen", true});
  s.end_attempt({verdict::timed_out, "wall", ""}, t0);
  BOOST_TEST(s.last_message() == "half a sen");
}

BOOST_AUTO_TEST_CASE(the_final_text_is_not_said_twice) {
  const state s = after(message{"All done.", false}, finished{true, "All done.\n"});
  BOOST_TEST(s.messages() == "All done.");
  const state other = after(message{"All done.", false}, finished{true, "The answer is 4."});
  BOOST_TEST(other.last_message() == "The answer is 4.");
  const state failed = after(message{"Half", false}, finished{false, "Prompt is too long"});
  BOOST_TEST(failed.last_message() == "Half");
}

BOOST_AUTO_TEST_CASE(the_last_words_before_a_mutating_call_are_a_decision_with_its_files) {
  const state s =
      after(session_started{"id", "m", "/slot/1"}, message{"The lexer drops commas.", false},
            tool_call{"r", "Read", {}, false}, edit("1", "/slot/1/src/lexer.cpp"),
            edit("2", "/slot/1/src/parser.cpp"));
  BOOST_REQUIRE_EQUAL(s.decisions().size(), 1u);
  const decision& d = s.decisions()[0];
  BOOST_TEST(d.text == "The lexer drops commas.");
  BOOST_TEST(d.source == "said");
  BOOST_TEST(d.attempt == 1u);
  const std::vector<std::string> files{"src/lexer.cpp", "src/parser.cpp"};
  BOOST_TEST(d.files == files, boost::test_tools::per_element());
  BOOST_TEST(s.files_touched() == files, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_was_thought_stands_in_where_nothing_was_said) {
  state s = after(reasoning{"First ", true}, reasoning{"idea.", true}, turn_ended{},
                  reasoning{"Better: ", true}, reasoning{"rewrite.", true},
                  file_change{"a.cpp", "modify", true, std::nullopt});
  BOOST_REQUIRE_EQUAL(s.decisions().size(), 1u);
  BOOST_TEST(s.decisions()[0].text == "Better: rewrite.");
  BOOST_TEST(s.decisions()[0].source == "thought");
  BOOST_TEST(s.decisions()[0].files.at(0) == "a.cpp");
  s.apply(edit("1", "b.cpp"));  // the same thought is not a second decision
  BOOST_REQUIRE_EQUAL(s.decisions().size(), 1u);
  BOOST_TEST(s.decisions()[0].files.at(1) == "b.cpp");
}

BOOST_AUTO_TEST_CASE(an_agent_that_leaves_notes_is_not_quoted) {
  state s = after(note{"Commas are tokens: the grammar needs them."},
                  message{"Now editing.", false}, edit("1", "a.cpp"));
  BOOST_REQUIRE_EQUAL(s.decisions().size(), 1u);
  BOOST_TEST(s.decisions()[0].source == "note");
  s.begin_attempt(2, coder(), t0);
  s.apply(message{"Another way.", false});
  s.apply(edit("1", "b.cpp"));
  BOOST_TEST(s.decisions().back().source == "said");
  BOOST_TEST(s.decisions().back().attempt == 2u);
}

BOOST_AUTO_TEST_CASE(notes_outlive_what_was_only_said) {
  state s = begun();
  s.apply(note{"The first note."});
  s.begin_attempt(2, coder(), t0);
  for (int i = 0; i < 100; ++i) {
    s.apply(message{"Reason " + std::to_string(i), false});
    s.apply(edit(std::to_string(i), "a"));
  }
  BOOST_TEST(s.decisions().size() == 20u);
  BOOST_TEST(s.decisions().front().text == "The first note.");
  BOOST_TEST(s.decisions().back().text == "Reason 99");
}

BOOST_AUTO_TEST_CASE(a_dropped_plan_item_is_a_decision) {
  const state s = after(plan{{{"port to Windows", plan_status::pending}}},
                        plan{{{"port to Windows", plan_status::dropped}}});
  BOOST_REQUIRE_EQUAL(s.decisions().size(), 1u);
  BOOST_TEST(s.decisions()[0].text == "dropped from the plan: port to Windows");
  BOOST_TEST(s.decisions()[0].source == "plan");
}

BOOST_AUTO_TEST_CASE(a_call_without_a_result_stays_unfinished) {
  state s = after(edit("1", "a"), tool_result{"1", false, "no such file"},
                  tool_call{"2", "Bash", json::object{{"command", "make deploy"}}, true});
  BOOST_REQUIRE_EQUAL(s.tools().size(), 2u);
  BOOST_TEST((s.tools()[0].ok == false));
  BOOST_TEST(s.tools()[0].result == "no such file");
  BOOST_TEST(s.tools()[1].ok.has_value() == false);
  BOOST_TEST(s.tools()[1].input == R"({"command":"make deploy"})");
  // Ids start again with each process of some agents.
  s.begin_attempt(2, coder(), t0);
  s.apply(tool_result{"2", true, "done"});
  BOOST_TEST(s.tools()[1].ok.has_value() == false);
}

BOOST_AUTO_TEST_CASE(an_unfinished_call_is_not_pushed_out_by_finished_ones) {
  state s = after(tool_call{"slow", "Bash", {}, true});
  for (int i = 0; i < 50; ++i) {
    s.apply(edit(std::to_string(i), "a"));
    s.apply(tool_result{std::to_string(i), true, ""});
  }
  BOOST_TEST(s.tools().size() == 20u);
  BOOST_TEST(s.tools().front().id == "slow");
  BOOST_TEST(s.tool_counts().at("Edit") == 50u);
}

BOOST_AUTO_TEST_CASE(progress_is_what_has_not_been_seen_before) {
  state s = begun();
  s.apply(tool_result{"1", true, "3 tests failed"});
  BOOST_TEST(s.progress() == 1u);
  s.apply(tool_result{"2", true, "3 tests failed"});
  BOOST_TEST(s.progress() == 1u);
  s.apply(plan{{{"lexer", plan_status::pending}}});
  BOOST_TEST(s.progress() == 1u);
  s.apply(plan{{{"lexer", plan_status::done}}});
  BOOST_TEST(s.progress() == 2u);
  s.apply(plan{{{"lexer", plan_status::pending}}});
  s.apply(plan{{{"lexer", plan_status::done}}});
  BOOST_TEST(s.progress() == 2u);
  s.apply(note{"a"});
  s.set_notes("left: the tests");
  s.set_notes("left: the tests");
  BOOST_TEST(s.progress() == 4u);
  s.set_notes("left: nothing");
  BOOST_TEST(s.progress() == 5u);
  s.apply(message{"new words are no progress", false});
  BOOST_TEST(s.progress() == 5u);
}

BOOST_AUTO_TEST_CASE(of_a_plan_that_is_too_long_what_is_open_stays) {
  agent::plan p;
  for (int i = 0; i < 150; ++i)
    p.items.push_back({std::to_string(i), i < 120 ? plan_status::done : plan_status::pending});
  const state s = after(p);
  BOOST_TEST(s.plan().size() == 100u);
  BOOST_TEST(s.plan().front().text == "50");
  BOOST_TEST(s.plan().back().text == "149");
}

BOOST_AUTO_TEST_CASE(usage_and_turns_are_summed_over_all_attempts) {
  state s = begun();
  usage u;
  u.input_tokens = 10;
  u.cost_usd = 0.25;
  std::uint32_t n = 1;
  for (; n <= 500; ++n) {
    s.apply(u);
    s.apply(turn_ended{});
    s.end_attempt({verdict::rate_limited, "", std::string(300, 'x')}, t0);
    s.begin_attempt(n + 1, coder(), t0);
  }
  BOOST_TEST(s.attempts().size() <= 64u);
  BOOST_TEST(s.attempts().back().number == n);
  BOOST_TEST(s.total_usage().input_tokens == 5000u);
  BOOST_TEST(s.total_usage().cost_usd == 125.0);
  BOOST_TEST(s.turns() == 500u);
}

BOOST_AUTO_TEST_CASE(numbers_neither_wrap_nor_become_what_json_cannot_say) {
  usage u;
  u.input_tokens = std::numeric_limits<std::uint64_t>::max();
  u.cost_usd = std::numeric_limits<double>::infinity();
  usage nan;
  nan.input_tokens = 7;
  nan.cost_usd = std::nan("");
  const state s = after(u, nan);
  BOOST_TEST(s.total_usage().input_tokens == std::numeric_limits<std::uint64_t>::max());
  BOOST_TEST(s.total_usage().cost_usd == 0.0);
  BOOST_TEST((reread(s).to_json() == s.to_json()));
}

BOOST_AUTO_TEST_CASE(the_session_is_the_last_attempts) {
  state s = after(session_started{"abc", "model-1", "/w"});
  BOOST_TEST(s.session_id() == "abc");
  BOOST_TEST(s.attempts().back().model == "model-1");
  s.begin_attempt(2, coder(), t0);
  BOOST_TEST(s.session_id() == "");
  s.apply(session_started{std::string(5000, 'x'), "", ""});
  BOOST_TEST(s.session_id() == "");  // half an id would resume nothing
}

BOOST_AUTO_TEST_CASE(a_proposed_write_is_kept_until_it_is_applied) {
  state s = after(file_change{"a.cpp", "add", false, "int main() {}"});
  BOOST_REQUIRE_EQUAL(s.proposed().size(), 1u);
  BOOST_TEST(s.proposed()[0].content.value() == "int main() {}");
  BOOST_TEST(s.files_touched().empty());
  s.apply(file_change{"a.cpp", "add", true, std::nullopt});
  BOOST_TEST(s.proposed().empty());
  BOOST_TEST(s.files_touched().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_storm_of_retries_is_one_error) {
  const agent_error e{error_kind::overloaded, true, std::nullopt, "529"};
  const state s = after(e, e, e);
  BOOST_TEST(s.errors().size() == 1u);
}

BOOST_AUTO_TEST_CASE(C13_nothing_that_is_kept_can_move_a_cursor_or_hide) {
  const std::string bad = "a\x1b[2J\u202e\u200b\x07\xff";
  const std::string good = "a\ufffd";
  state s("run", "task", bad);
  s.begin_attempt(1, coder(), t0);
  s.apply(message{bad, false});
  s.apply(reasoning{bad, false});
  s.apply(tool_call{bad, bad, json::value(json::string(bad)), true});
  s.apply(tool_result{bad, true, bad});
  s.set_notes(bad);
  BOOST_TEST(s.task_prompt() == good);
  BOOST_TEST(s.last_message() == good);
  BOOST_TEST(s.thoughts() == good);
  BOOST_TEST(s.notes() == good);
  BOOST_TEST(s.tools()[0].name == good);
  BOOST_TEST(s.tools()[0].result == good);
  BOOST_TEST(is_utf8(s.to_json()));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(state_properties)

BOOST_AUTO_TEST_CASE(O4_a_million_events_and_huge_texts_stay_under_the_bound) {
  random_events random(1, 60);
  std::vector<event> some;  // making an event costs more than folding it
  for (int i = 0; i < 5000; ++i) some.push_back(random.next());
  state s = begun();
  std::uint32_t attempt = 1;
  for (int i = 0; i < 1'000'000; ++i) {
    s.apply(some[random.below(some.size())]);
    if (i % 1000 == 0) step(s, random, attempt);
    if (i % 100'000 == 0) BOOST_REQUIRE_LT(s.to_json().size(), 256u << 10);
  }
  const std::string text = s.to_json();
  BOOST_TEST(text.size() < 256u << 10);
  BOOST_TEST(is_utf8(text));
  random_events huge(2, 300'000);
  for (int i = 0; i < 150; ++i) step(s, huge, attempt);
  BOOST_TEST(s.to_json().size() < 256u << 10);
}

BOOST_AUTO_TEST_CASE(the_bound_holds_for_text_that_json_doubles) {
  const std::string quotes(20'000, '"');
  state s(quotes, quotes, quotes);
  agent_config who;
  who.name = who.adapter = quotes;
  for (std::uint32_t n = 1; n <= 70; ++n) {
    const std::string own = std::to_string(n) + quotes;
    const std::string path = std::to_string(n) + std::string(500, '"');
    s.begin_attempt(n, who, t0);
    s.apply(session_started{quotes.substr(0, 48), quotes, "/w"});
    s.apply(note{own});
    for (int call = 0; call < 3; ++call) {
      const std::string name = std::to_string(call) + own;
      s.apply(tool_call{own, name, json::object{{"file_path", path}}, true});
      s.apply(tool_result{own, true, own});
    }
    s.apply(file_change{path, quotes, false, quotes});
    s.apply(agent_error{error_kind::other, false, quotes.substr(0, 48), own});
    s.apply(message{quotes, true});
    s.apply(reasoning{quotes, true});
    s.end_attempt({verdict::rate_limited, quotes, quotes}, t0);
  }
  agent::plan p;
  for (int i = 0; i < 400; ++i)
    p.items.push_back({std::to_string(i) + quotes, plan_status::pending});
  s.apply(p);
  s.set_notes(quotes);
  s.set_verification({false, quotes, quotes, 70});
  for (int i = 0; i < 10; ++i) s.apply(message{quotes, true});
  const std::string text = s.to_json();
  BOOST_TEST_MESSAGE("saturated state: " << text.size() << " bytes");
  BOOST_TEST(text.size() < 256u << 10);
  BOOST_TEST(text.size() > 150u << 10);  // else this test saturates nothing
  BOOST_TEST((reread(s).to_json() == text));
}

BOOST_AUTO_TEST_CASE(the_same_events_give_the_same_bytes_with_and_without_a_rest_on_disk) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    random_events random(seed, 3000), same(seed, 3000), pauses(seed + 1000, 1);
    state straight = begun(), rested = begun();
    std::uint32_t a = 1, b = 1;
    for (int i = 0; i < 400; ++i) {
      step(straight, random, a);
      step(rested, same, b);
      if (pauses.below(20) == 0) rested = reread(rested);
      BOOST_REQUIRE_EQUAL(straight.progress(), rested.progress());
    }
    BOOST_REQUIRE(straight.to_json() == rested.to_json());
    BOOST_REQUIRE(reread(straight).to_json() == straight.to_json());
  }
}

BOOST_AUTO_TEST_CASE(events_before_any_attempt_are_harmless) {
  random_events random(5, 100);
  state s("run", "task", "prompt");
  for (int i = 0; i < 2000; ++i) s.apply(random.next());
  s.end_attempt({}, t0);
  BOOST_TEST(s.session_id() == "");
  BOOST_TEST((reread(s).to_json() == s.to_json()));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(state_json)

BOOST_AUTO_TEST_CASE(texts_are_escaped_as_json_asks) {
  const std::string text = "\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9";
  json::object o = json::parse(begun().to_json()).as_object();
  o["last_message"] = text;  // from elsewhere: what an agent says is kept printable
  const std::string written = state::from_json(json::serialize(o)).value().to_json();
  BOOST_TEST(written.find(json::serialize(o.at("last_message"))) != written.npos);
  BOOST_TEST((json::parse(written) == o));
}

BOOST_AUTO_TEST_CASE(a_newer_schema_is_understood_as_newer) {
  const auto read = state::from_json(R"({"schema":"remora.state/2"})");
  BOOST_REQUIRE(read.has_error());
  BOOST_TEST(read.error().is(errc::unsupported));
}

BOOST_AUTO_TEST_CASE(damage_is_said_to_be_damage) {
  const std::string sound = begun().to_json();
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), sound.substr(0, sound.size() / 2),
        std::string(R"({"schema":"else"})"), std::string(300 << 10, ' '),
        std::string(R"({"schema":"remora.state/1","run":"r","task":"t","prompt":"p"})")}) {
    const auto read = state::from_json(text);
    BOOST_REQUIRE(read.has_error());
    BOOST_TEST(read.error().is(errc::corrupt));
  }
}

BOOST_AUTO_TEST_CASE(each_field_that_is_missing_or_of_another_type_is_named) {
  const json::value sound = json::parse(begun().to_json());
  for (const auto& field : sound.as_object()) {
    if (field.key() == "schema") continue;
    json::object without = sound.as_object();
    without.erase(field.key());
    const auto lacking = state::from_json(json::serialize(without));
    BOOST_REQUIRE_MESSAGE(lacking.has_error(), field.key());
    BOOST_TEST(lacking.error().what.find(std::string(field.key())) != std::string::npos);
    json::object other = sound.as_object();
    other[field.key()] = true;
    BOOST_REQUIRE_MESSAGE(state::from_json(json::serialize(other)).has_error(), field.key());
  }
}

BOOST_AUTO_TEST_CASE(unknown_fields_of_the_same_schema_are_ignored) {
  json::object o = json::parse(begun().to_json()).as_object();
  o["later"] = 1;
  BOOST_TEST(state::from_json(json::serialize(o)).value().to_json() == begun().to_json());
}

BOOST_AUTO_TEST_CASE(what_is_written_has_exactly_the_documented_keys) {
  const std::string text =
      read_file(std::string(REMORA_SOURCE_DIR) + "/docs/state.schema.json").value();
  const json::object schema = json::parse(text).as_object();
  BOOST_TEST(mismatch(json::parse(begun().to_json()), schema, schema, "") == "");
  random_events random(9, 200);
  state s = begun();
  std::uint32_t attempt = 1;
  for (int i = 0; i < 3'000; ++i) {
    step(s, random, attempt);
    if (i % 50 == 0)
      BOOST_REQUIRE_EQUAL(mismatch(json::parse(s.to_json()), schema, schema, ""), "");
  }
}

BOOST_AUTO_TEST_SUITE_END()

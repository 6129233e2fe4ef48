#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/agent/event.hpp>
#include <remora/agent/failure.hpp>

namespace remora::agent {
namespace {

namespace json = boost::json;

std::string round_trip(std::string_view line) {
  const json::value v = json::parse(json::string_view(line));
  return json::serialize(to_json(event_from_json(v.as_object())));
}

template <class Event>
Event read(std::string_view line) {
  return std::get<Event>(event_from_json(json::parse(json::string_view(line)).as_object()));
}

constexpr std::string_view whole_lines[] = {
    R"({"type":"session_started","session_id":"s","model":"m","cwd":"/w"})",
    R"({"type":"prompt_started"})",
    R"({"type":"turn_started"})",
    R"({"type":"message","text":"hello"})",
    R"({"type":"message","text":"hel","delta":true})",
    R"({"type":"reasoning","text":"so"})",
    R"({"type":"tool_call","id":"1","name":"Bash","input":{"command":"ls"},"mutates":false})",
    R"({"type":"tool_result","id":"1","ok":false,"text":"no"})",
    R"({"type":"plan","items":[{"text":"a","status":"in_progress"},{"text":"b","status":"dropped"}]})",
    R"({"type":"file_change","path":"a.c","kind":"add","applied":false,"content":"x"})",
    R"({"type":"note","text":"n"})",
    R"({"type":"error","kind":"rate_limited","transient":true,"retry_at":"2026-01-02T00:00:00Z","text":"t"})",
    R"({"type":"turn_ended"})",
    R"({"type":"prompt_ended"})",
    R"({"type":"finished","ok":true,"text":"done"})",
    R"({"type":"unknown","raw":"?"})",
};

}  // namespace

BOOST_AUTO_TEST_SUITE(events)

BOOST_AUTO_TEST_CASE(what_is_written_is_read_back) {
  for (const std::string_view line : whole_lines) BOOST_TEST(round_trip(line) == line);
}

BOOST_AUTO_TEST_CASE(usage_is_read_from_numbers_of_any_kind) {
  const auto u = read<usage>(
      R"({"type":"usage","input_tokens":"12","output_tokens":3.0,"cached_tokens":-5,"reasoning_tokens":null,"cost_usd":0.5})");
  BOOST_TEST(u.input_tokens == 12u);
  BOOST_TEST(u.output_tokens == 3u);
  BOOST_TEST(u.cached_tokens == 0u);
  BOOST_TEST(u.cost_usd == 0.5);
  BOOST_TEST(!u.estimated);
}

BOOST_AUTO_TEST_CASE(numbers_beyond_all_sense_count_nothing) {
  const auto u = read<usage>(
      R"({"type":"usage","input_tokens":1e999,"output_tokens":1e300,"cached_tokens":"nan","cost_usd":1e999})");
  BOOST_TEST(u.input_tokens == 0u);
  BOOST_TEST(u.output_tokens == 0u);
  BOOST_TEST(u.cached_tokens == 0u);
  BOOST_TEST(u.cost_usd == 0);
}

BOOST_AUTO_TEST_CASE(missing_fields_read_as_the_cautious_value) {
  BOOST_TEST(read<tool_call>(R"({"type":"tool_call"})").mutates);
  BOOST_TEST(read<file_change>(R"({"type":"file_change","path":"a"})").kind == "modify");
  BOOST_TEST((read<agent_error>(R"({"type":"error","kind":"new"})").kind == error_kind::other));
  BOOST_TEST(
      (read<plan>(R"({"type":"plan","items":[1,{"text":"a","status":7}]})").items.size() == 1));
}

BOOST_AUTO_TEST_CASE(unknown_types_are_kept_raw) {
  BOOST_TEST(read<unknown>(R"({"type":"dance","n":1})").raw == R"({"type":"dance","n":1})");
  BOOST_TEST(read<unknown>(R"({"n":1})").raw == R"({"n":1})");
  BOOST_TEST(read<unknown>(R"({"type":["message"]})").raw == R"({"type":["message"]})");
}

BOOST_AUTO_TEST_CASE(O4_invalid_utf8_is_replaced_everywhere) {
  tool_call call{"\xff", "n", {}, true};
  call.input = json::object{{"k\xff", json::array{"v\xfe"}}};
  const std::string line = json::serialize(to_json(call));
  BOOST_TEST(line.find('\xff') == line.npos);
  BOOST_TEST(line.find('\xfe') == line.npos);
  BOOST_TEST(json::serialize(to_json(message{"a\xc3", false})) ==
             "{\"type\":\"message\",\"text\":\"a\xEF\xBF\xBD\"}");
}

BOOST_AUTO_TEST_CASE(a_path_that_is_no_text_survives) {
  const event e = event_from_json(to_json(file_change{"a\xff.c", "add", true, {}}));
  BOOST_TEST(std::get<file_change>(e).path == "a\xff.c");
}

BOOST_AUTO_TEST_CASE(verdicts_have_the_names_of_the_table) {
  BOOST_TEST(name(verdict::timed_out) == "timed_out");
  BOOST_TEST(name(verdict::cancelled) == "cancelled");
  for (int i = 0; i <= static_cast<int>(verdict::cancelled); ++i) {
    const auto v = static_cast<verdict>(i);
    BOOST_TEST((parse_verdict(name(v)).value() == v));
  }
  BOOST_TEST(parse_verdict("fine").error().is(errc::usage));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(failures)

BOOST_AUTO_TEST_CASE(a_status_decides_before_the_words_do) {
  BOOST_TEST((classify_error(429, "prompt is too long") == error_kind::rate_limited));
  BOOST_TEST((classify_error(403, "") == error_kind::auth));
  BOOST_TEST((classify_error(529, "") == error_kind::overloaded));
  BOOST_TEST((classify_error(400, "no such model") == error_kind::other));
}

BOOST_AUTO_TEST_CASE(a_status_is_looked_for_only_where_one_is_printed) {
  BOOST_TEST(
      (classify_error(0, "API Error: 429 {\"type\":\"error\"}") == error_kind::rate_limited));
  BOOST_TEST((classify_error(0, "Request rejected (429)") == error_kind::rate_limited));
  BOOST_TEST((classify_error(0, "HTTP 503") == error_kind::overloaded));
  BOOST_TEST((classify_error(0, "No conversation 0a1b-429-529") == error_kind::other));
  BOOST_TEST((classify_error(0, "took too long (500 ms)") == error_kind::other));
  BOOST_TEST((classify_error(0, "status 4290") == error_kind::other));
}

BOOST_AUTO_TEST_CASE(words_of_each_kind_are_known) {
  const auto is = [](std::string_view text, error_kind k) { return classify_error(0, text) == k; };
  BOOST_TEST(is("Prompt is too long", error_kind::context));
  BOOST_TEST(is("You've hit your limit · resets 5pm", error_kind::rate_limited));
  BOOST_TEST(is("Credit balance is too low", error_kind::auth));
  BOOST_TEST(is("Unable to connect to API (ConnectionRefused)", error_kind::network));
  BOOST_TEST(is("appears to violate our Usage Policy", error_kind::refused));
  BOOST_TEST(is("Overloaded", error_kind::overloaded));
  BOOST_TEST(is("something else", error_kind::other));
}

BOOST_AUTO_TEST_CASE(a_reset_is_read_from_the_forms_that_clis_print) {
  setenv("TZ", "UTC", 1);
  tzset();
  using namespace std::chrono;
  const wall_time now = sys_days(2026y / 1 / 2) + 10h;
  const auto at = [&](std::string_view text) { return retry_time(text, now).value_or("none"); };
  BOOST_TEST(at("Claude AI usage limit reached|1763740800") == "2025-11-21T16:00:00.000Z");
  BOOST_TEST(at("limit reached|1763740800000") == "2025-11-21T16:00:00.000Z");
  BOOST_TEST(at("until 2026-01-02T12:30:00.5+02:00 only") == "2026-01-02T10:30:00.000Z");
  BOOST_TEST(at("retry after 30 seconds") == "2026-01-02T10:00:30.000Z");
  BOOST_TEST(at("Retry-After: 3600") == "2026-01-02T11:00:00.000Z");
  BOOST_TEST(at("Please try again in 1m30.5s.") == "2026-01-02T10:01:30.000Z");
  BOOST_TEST(at("resets in 3h 20m") == "2026-01-02T13:20:00.000Z");
  BOOST_TEST(at("You've hit your limit · resets 5pm (UTC)") == "2026-01-02T17:00:00.000Z");
  BOOST_TEST(at("5-hour limit reached ∙ resets 9:30am") == "2026-01-03T09:30:00.000Z");
  BOOST_TEST(at("resets at 17:00") == "2026-01-02T17:00:00.000Z");
  BOOST_TEST(at("resets Nov 24 at 12am") == "2026-11-24T00:00:00.000Z");
  BOOST_TEST(at("resets Jan 1, 5pm") == "2027-01-01T17:00:00.000Z");
}

BOOST_AUTO_TEST_CASE(what_is_no_moment_gives_none) {
  const wall_time now{};
  for (const char* text :
       {"", "resets", "resets 25pm", "resets 7", "retry after a while", "a|b|12",
        "|99999999999999999999999", "x-y-z", "try again in 99999999999999999 days"})
    BOOST_TEST(!retry_time(text, now).has_value(), text);
  BOOST_TEST(!epoch_time(0).has_value());
  BOOST_TEST(!epoch_time(-1).has_value());
}

BOOST_AUTO_TEST_CASE(an_outcomes_text_is_printable_and_short) {
  const outcome o = make_outcome(verdict::failed, "1", "\x1b[31m" + std::string(9000, '\xff'));
  BOOST_TEST(o.text.size() <= 4096u);
  BOOST_TEST(o.text.find('\x1b') == o.text.npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent

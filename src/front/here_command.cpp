// `remora here`: what an agent asks of the orchestrator that started it (docs/agents.md).
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <istream>
#include <ostream>
#include <remora/core/json_fields.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/front/commands.hpp>
#include <remora/process/host.hpp>
#include <remora/process/requests.hpp>

namespace remora::front {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

/// A checkpoint waits for `min_gap`, and for the one before it.
constexpr std::chrono::milliseconds longest_answer = 30s, longest_checkpoint = 30min;

result<json::object> ask(json::object request, std::chrono::milliseconds limit = longest_answer) {
  const char* path = std::getenv(process::socket_variable);
  if (!path || !*path)
    return fail(errc::environment,
                fmt::format("{} is not set: 'remora here' is for the agent of a run, and for what "
                            "that starts",
                            process::socket_variable));
  const std::string line = json::serialize(request);
  if (line.size() > process::longest_request)
    return fail(errc::usage, fmt::format("that is too long: a request has at most {} bytes",
                                         process::longest_request));
  REMORA_TRY(const std::string said, process::send_request(path, line, limit));
  boost::system::error_code ec;
  const json::value answer = json::parse(said, ec);
  if (ec || !answer.is_object())
    return fail(errc::environment, "the answer is not understood: " + one_line(said, 200));
  const json::object& o = answer.get_object();
  if (o.contains("error"))
    return fail(json_flag(o, "usage") ? errc::usage : errc::environment, json_text(o, "error"));
  return o;
}

int show(session& s, const json::object& answer, std::string_view text) {
  if (!s.json) {
    s.out << text << '\n';
    return 0;
  }
  json::object line{{"schema", "remora.here/1"}};
  for (const auto& [key, value] : answer)
    if (key != "ok") line[key] = value;
  s.out << line << '\n';
  return 0;
}

/// All, or so much that it is too long.
std::string read_all(std::istream& in) {
  std::string text(process::longest_request + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

result<std::string> read_operand(session& s, const std::string& file) {
  if (file == "-") return read_all(s.in);
  auto text = read_file(file, process::longest_request);
  if (!text) return fail(errc::usage, fmt::format("cannot read {}", text.error().what));
  return text;
}

/// `turns: 12 left`; nothing where there is no limit.
std::string line_of(const json::object& o, std::string_view key, std::string_view name,
                    std::string (*text)(const json::object&, std::string_view)) {
  const json::value* v = o.if_contains(key);
  if (!v || !v->is_number()) return {};
  return fmt::format("{}: {} left\n", name, text(o, key));
}

std::string time_text(const json::object& o, std::string_view key) {
  return format_duration(std::chrono::milliseconds(json_integer(o, key)));
}
std::string count_text(const json::object& o, std::string_view key) {
  return format_count(json_integer<std::uint64_t>(o, key));
}
std::string cost_text(const json::object& o, std::string_view key) {
  return fmt::format("${:.2f}", json_number(o, key));
}

}  // namespace

result<int> here_checkpoint_command(session& s, const std::string& note) {
  json::object request{{"command", "checkpoint"}};
  if (!note.empty()) request["note"] = to_utf8(note);
  REMORA_TRY(const json::object answer, ask(std::move(request), longest_checkpoint));
  const auto number = json_integer<std::uint32_t>(answer, "checkpoint");
  std::string text =
      fmt::format("checkpoint {}: {}", number, json_text(answer, "commit").substr(0, 10));
  if (!json_flag(answer, "changed"))
    text = number > 0 ? fmt::format("nothing has changed since checkpoint {}", number)
                      : "there is nothing to save yet";
  return show(s, answer, text);
}

result<int> here_note_command(session& s, const std::vector<std::string>& words) {
  std::string text = fmt::format("{}", fmt::join(words, " "));
  if (text == "-") text = read_all(s.in);
  REMORA_TRY(const json::object answer, ask({{"command", "note"}, {"text", to_utf8(text)}}));
  return show(s, answer, "noted");
}

result<int> here_plan_command(session& s, const std::string& file) {
  REMORA_TRY(const std::string text, read_operand(s, file));
  REMORA_TRY(const json::object answer, ask({{"command", "plan"}, {"text", to_utf8(text)}}));
  return show(s, answer,
              fmt::format("the plan: {} of {} done", json_integer(answer, "done"),
                          json_integer(answer, "items")));
}

result<int> here_left_command(session& s) {
  REMORA_TRY(const json::object left, ask({{"command", "left"}}));
  std::string text =
      line_of(left, "wall_ms", "wall", time_text) +
      line_of(left, "idle_ms", "idle, if nothing is heard", time_text) +
      line_of(left, "soft_ms", "soft", time_text) + line_of(left, "turns", "turns", count_text) +
      line_of(left, "tokens", "tokens", count_text) + line_of(left, "cost_usd", "cost", cost_text) +
      line_of(left, "run_tokens", "tokens of the run", count_text) +
      line_of(left, "run_cost_usd", "cost of the run", cost_text);
  if (!text.empty()) text.pop_back();
  return show(s, left, text);
}

}  // namespace remora::front

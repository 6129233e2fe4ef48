#include <fmt/format.h>

#include <array>
#include <boost/json/serialize.hpp>
#include <istream>
#include <ostream>
#include <remora/agent/parse.hpp>
#include <remora/process/line_framer.hpp>

namespace remora::agent {
namespace {

using line_function = std::function<void(std::string_view)>;

/// Also the partial line at the end: it is the agent's own, and half an object is not taken for
/// one. Returns how many lines were too long.
result<std::uint64_t> each_line(std::istream& in, const line_function& line) {
  process::line_framer framer;
  std::array<char, 64 << 10> block;
  while (in) {
    in.read(block.data(), block.size());
    framer.feed({block.data(), static_cast<std::size_t>(in.gcount())}, line);
  }
  if (in.bad()) return fail(errc::environment, "the agent's output could not be read");
  if (!framer.rest().empty()) line(framer.rest());
  return framer.dropped();
}

class printer {
 public:
  explicit printer(std::ostream& json) : json_(json) {}

  void print(std::vector<event>& events) {
    for (const event& e : events) {
      if (const auto* u = std::get_if<usage>(&e)) used_ += *u;
      json_ << to_json(e) << '\n';
    }
    events.clear();
  }

  void print(const outcome& o) {
    boost::json::object used = to_json(event(used_));
    used.stable_erase(used.find("type"));
    json_ << boost::json::object{{"type", "outcome"},
                                 {"success", o.verdict == verdict::completed},
                                 {"verdict", boost::json::string_view(name(o.verdict))},
                                 {"detail", o.detail},
                                 {"text", o.text},
                                 {"usage", std::move(used)}}
          << '\n'
          << std::flush;
  }

 private:
  std::ostream& json_;
  usage used_;
};

}  // namespace

usage& operator+=(usage& sum, const usage& more) {
  sum.input_tokens += more.input_tokens;
  sum.output_tokens += more.output_tokens;
  sum.cached_tokens += more.cached_tokens;
  sum.reasoning_tokens += more.reasoning_tokens;
  sum.cost_usd += more.cost_usd;
  sum.estimated = sum.estimated || more.estimated;
  return sum;
}

result<void> parse_stream(const adapter& a, std::istream& out, std::istream* err,
                          const exit_status& status, std::ostream& json) {
  const std::unique_ptr<parser> p = a.make_parser();
  printer to(json);
  std::vector<event> events;
  REMORA_TRY(const std::uint64_t dropped, each_line(out, [&](std::string_view line) {
               p->out_line(line, events);
               to.print(events);
             }));
  if (dropped > 0)
    events.emplace_back(unknown{fmt::format("{} lines were too long and are left out", dropped)});
  if (err) REMORA_CHECK(each_line(*err, [&](std::string_view line) { p->err_line(line, events); }));
  const outcome o = p->conclude(status, events);
  to.print(events);
  to.print(o);
  if (!json) return fail(errc::environment, "the events could not be written");
  return {};
}

}  // namespace remora::agent

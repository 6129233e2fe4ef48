// What an agent may ask of its orchestrator, as the lines of its socket have it (docs/agents.md).
// Pure. Private to the run room.
#pragma once

#include <boost/json/object.hpp>
#include <remora/agent/event.hpp>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace remora::run {

struct checkpoint_request {
  std::string note;  ///< may be empty
};
struct note_request {
  std::string text;
};
struct left_request {};
using agent_request = std::variant<checkpoint_request, note_request, agent::plan, left_request>;

constexpr std::size_t most_plan_items = 1'000;

/// Errors: errc::usage, with what would be right.
result<agent_request> parse_request(std::string_view line);
/// A JSON array `[{"text": …, "status": …}]`, or Markdown with check boxes (`- [x] …`) among other
/// lines. Errors: as above.
result<agent::plan> parse_plan(std::string_view text);

/// `fields` with `"ok": true` before them.
std::string accepted(boost::json::object fields = {});
/// `{"error": …}`, of a mistake in the request with `"usage": true`.
std::string refused(const error& why);

/// An event that came by the socket: it is not in `out`, and belongs behind so many bytes of it.
struct told_event {
  std::uint64_t at = 0;
  agent::event event;
};
/// One line without its newline, and those of a file of them: a torn or foreign one is left out.
std::string to_line(const told_event& t);
std::vector<told_event> read_told(std::string_view lines);

}  // namespace remora::run

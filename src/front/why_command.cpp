// `remora show --why`.
#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/front/printer.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

/// Nothing: it decides nothing.
std::string decision_text(const run::record& r) {
  const boost::json::object& p = r.payload;
  if (r.type == "decided") {
    const std::string because = json_text(p, "because");
    return fmt::format("{} > {}  {}{}{}", json_text(p, "from"), json_text(p, "to"),
                       json_text(p, "fact"), because.empty() ? "" : ": ", one_line(because, 200));
  }
  if (r.type == "checkpoint_saved")
    return fmt::format("checkpoint {}: {}", json_integer(p, "checkpoint"), json_text(p, "reason"));
  if (r.type == "verify_ended")
    return fmt::format("verification {}", json_flag(p, "ok") ? "passed" : "failed");
  if (r.type == "slot_quarantined")
    return fmt::format("{} is left to whoever lives in it", json_text(p, "slot"));
  if (r.type == "warning") return "warning: " + one_line(json_text(p, "text"), 200);
  if (r.type == "task_ended")
    return fmt::format(
        "{}{}", json_text(p, "outcome"),
        json_text(p, "why").empty() ? "" : ": " + one_line(json_text(p, "why"), 200));
  return {};
}

}  // namespace

result<int> why_command(session& s, const std::string& selector) {
  REMORA_TRY(const git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run::selection what, run::select(repo, selector));
  REMORA_CHECK(no_checkpoint(what, selector));
  REMORA_TRY(const auto records, run::load_records(repo, what.run));
  for (const run::record& r : records) {
    const std::string task = json_text(r.payload, "task");
    if (task.empty() || (what.task && what.task->str() != task)) continue;
    const std::string text = decision_text(r);
    if (text.empty()) continue;
    if (s.json) {
      s.out << event_line(what.run.str(), r) << '\n';
      continue;
    }
    const std::int64_t attempt = json_integer(r.payload, "attempt");
    s.out << fmt::format("{}  {}{}{}\n", time_of_day(r.t, 12),
                         what.task ? "" : pad(task, 16) + "  ",
                         attempt == 0 ? "" : fmt::format("attempt {}  ", attempt), printable(text));
  }
  return 0;
}

}  // namespace remora::front

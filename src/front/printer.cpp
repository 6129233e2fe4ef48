#include <fmt/format.h>

#include <boost/json.hpp>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/front/printer.hpp>
#include <set>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// What only recovery reads.
bool is_internal(const std::string& type) {
  static const std::set<std::string, std::less<>> types{
      "checkpoint_prepared", "attempt_running", "result_published", "slot_lent", "slot_freed"};
  return types.contains(type);
}

std::string short_id(const std::string& hex) {
  return hex.substr(0, 10);
}

std::string verdict_text(const json::object& o) {
  const std::string detail = json_text(o, "detail");
  return detail.empty() ? json_text(o, "verdict")
                        : fmt::format("{} ({})", json_text(o, "verdict"), detail);
}

std::string own_words(const json::object& o) {
  const std::string text = one_line(json_text(o, "text"), 160);
  return text.empty() ? text : ": " + text;
}

std::string ended_text(const json::object& o) {
  std::string line = json_text(o, "outcome");
  if (const std::string why = verdict_text(o); !why.empty() && why != "completed")
    line += ": " + why;
  if (const std::string why = one_line(json_text(o, "why"), 200);
      !why.empty() && json_text(o, "outcome") != "succeeded")
    line += ": " + why;
  if (const json::value* f = o.if_contains("files"); f && f->is_object()) {
    const json::object& n = f->get_object();
    line += fmt::format(
        ", {} attempts, {} files (+{} -{}), {}", json_integer(o, "attempts"),
        json_integer(n, "added") + json_integer(n, "modified") + json_integer(n, "deleted"),
        json_integer(n, "insertions"), json_integer(n, "deletions"),
        format_duration(std::chrono::milliseconds(json_integer(o, "duration_ms"))));
  }
  return line;
}

/// The line of one record; empty: nothing that a person waits for.
std::string plain_line(const run::record& r) {
  const json::object& p = r.payload;
  if (r.type == "run_started")
    return fmt::format("run {} started: {} tasks from {}", json_text(p, "run"),
                       json_integer(p, "planned"), json_text(p, "name"));
  if (r.type == "run_resumed") return fmt::format("run {} goes on", json_text(p, "run"));
  if (r.type == "attempt_started")
    return fmt::format("attempt {} starts ({})", json_integer(p, "attempt"), json_text(p, "agent"));
  if (r.type == "checkpoint_saved")
    return fmt::format("checkpoint {} saved ({}): {} files changed, {} ms, {}",
                       json_integer(p, "checkpoint"), json_text(p, "reason"),
                       json_integer(p, "files_changed"), json_integer(p, "ms"),
                       short_id(json_text(p, "commit")));
  if (r.type == "attempt_ended") {
    return fmt::format("attempt {} ended: {}{}", json_integer(p, "attempt"), verdict_text(p),
                       own_words(p));
  }
  if (r.type == "verify_ended")
    return fmt::format("verification {}: {}", p.at("ok").as_bool() ? "passed" : "failed",
                       one_line(json_text(p, "command"), 80));
  if (r.type == "task_ended") return ended_text(p);
  return account_line(r);
}

class json_printer final : public printer {
 public:
  explicit json_printer(std::ostream& out) : out_(out) {}

  void show(const run::record& r) override {
    if (r.type == "run_started") run_ = json_text(r.payload, "run");
    if (r.type == "run_resumed") run_ = json_text(r.payload, "run");
    const std::string line = event_line(run_, r);
    if (!line.empty()) out_ << line << '\n' << std::flush;
  }
  void close(const run::run_summary&) override {}

 private:
  std::ostream& out_;
  std::string run_;
};

class plain_printer final : public printer {
 public:
  plain_printer(std::ostream& out, std::ostream& err) : out_(out), err_(err) {}

  void show(const run::record& r) override {
    const std::string task = json_text(r.payload, "task");
    if (r.type == "warning") {
      err_ << fmt::format("remora: warning: {}{}\n", task.empty() ? "" : task + ": ",
                          printable(json_text(r.payload, "text")))
           << std::flush;
      return;
    }
    const std::string line = plain_line(r);
    if (line.empty()) return;
    out_ << fmt::format("{} {}{}\n", time_of_day(r.t, 8),
                        task.empty() ? "" : fmt::format("{:<12} ", task), printable(line))
         << std::flush;
  }

  void close(const run::run_summary& s) override {
    out_ << fmt::format("{} succeeded, {} failed, {} interrupted, {} skipped\n", s.succeeded,
                        s.failed + s.cancelled, s.interrupted, s.skipped)
         << std::flush;
  }

 private:
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

std::string account_line(const run::record& r) {
  const std::string account = json_text(r.payload, "account");
  if (r.type == "account_resumed") return fmt::format("account {} is open again", account);
  if (r.type != "account_paused") return {};
  const std::string until = json_text(r.payload, "until");
  return fmt::format("account {} is paused {}: {}{}", account,
                     until.empty() ? "until somebody logs in" : "until " + until,
                     json_text(r.payload, "verdict"), own_words(r.payload));
}

std::string event_line(const std::string& run, const run::record& r) {
  if (is_internal(r.type)) return {};
  json::object o{
      {"schema", "remora.event/1"}, {"seq", r.seq}, {"t", r.t}, {"run", run}, {"type", r.type}};
  for (const auto& [key, value] : r.payload)
    if (key != "schema" && key != "run") o[key] = value;
  return json::serialize(o);
}

std::unique_ptr<printer> make_json_printer(std::ostream& out) {
  return std::make_unique<json_printer>(out);
}

std::unique_ptr<printer> make_plain_printer(std::ostream& out, std::ostream& err) {
  return std::make_unique<plain_printer>(out, err);
}

}  // namespace remora::front

#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

std::string_view permissions(const agent::agent_config& a) {
  return a.permissions == agent::permissions::full ? "full" : "default";
}

json::object task_json(const run::plan& p, const run::task_plan& t, const run::run_preview& view) {
  const auto base = view.bases.find(t.id.str());
  const std::string& agent = t.agents.front();
  const auto program = view.programs.find(agent);
  json::array agents(t.agents.begin(), t.agents.end());
  json::array after;
  for (const task_id& id : t.after) after.emplace_back(id.str());
  json::object o{{"schema", "remora.preview/1"},
                 {"plan", p.name},
                 {"task", t.id.str()},
                 {"agent", agent},
                 {"agents", std::move(agents)},
                 {"adapter", p.agents.at(agent).adapter},
                 {"permissions", permissions(p.agents.at(agent))},
                 {"after", std::move(after)},
                 {"wall_ms", t.limits.wall.count()}};
  o["program"] = program == view.programs.end() ? json::value(nullptr)
                                                : json::value(to_utf8(program->second.string()));
  o["base"] = base == view.bases.end() ? json::value(nullptr) : json::value(base->second.hex());
  o["base_task"] = t.base_task ? json::value(t.base_task->str()) : json::value(nullptr);
  o["verify"] = t.verify ? json::value(to_utf8(t.verify->shown())) : json::value(nullptr);
  return o;
}

std::string task_text(const run::plan& p, const run::task_plan& t, const run::run_preview& view) {
  const auto base = view.bases.find(t.id.str());
  const std::string from = base == view.bases.end() ? "the result of " + t.base_task->str()
                                                    : base->second.hex().substr(0, 10);
  const bool dirty = p.base == run::checkout_as_base && t.base.empty() && !t.base_task;
  std::string line = fmt::format(
      "task {}: {} from {}{}, wall {}", t.id.str(), fmt::join(t.agents, ", then "), from,
      dirty ? " and what the checkout has changed" : "", format_duration_exact(t.limits.wall));
  if (!t.after.empty()) line += ", after";
  for (const task_id& id : t.after) line += " " + id.str();
  if (t.verify) line += ", verified by: " + printable(t.verify->shown());
  return line;
}

}  // namespace

void print_preview(session& s, const run::plan& p, const run::run_preview& view) {
  if (s.json) {
    for (const run::task_plan& t : p.tasks) s.out << task_json(p, t, view) << '\n';
    return;
  }
  s.out << fmt::format("plan {}: {} tasks, {} at a time, in {}\n", printable(p.name),
                       p.tasks.size(), p.parallel, printable(p.repo.string()));
  for (const auto& [name, program] : view.programs)
    s.out << fmt::format("agent {}: {} ({}), permissions {}\n", printable(name),
                         printable(program.string()), p.agents.at(name).adapter,
                         permissions(p.agents.at(name)));
  for (const run::task_plan& t : p.tasks) s.out << task_text(p, t, view) << '\n';
}

}  // namespace remora::front

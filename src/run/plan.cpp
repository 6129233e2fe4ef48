#include <fmt/format.h>

#include <algorithm>
#include <remora/run/plan.hpp>
#include <unordered_map>

#include "run/plan_limits.hpp"

namespace remora::run {
namespace {

/// Depth first; `open` is the path from the first task to this one.
result<void> visit(const plan& p, const task_plan& t, std::vector<const task_plan*>& open,
                   std::unordered_map<const task_plan*, bool>& done) {
  if (done[&t]) return {};
  if (const auto again = std::ranges::find(open, &t); again != open.end()) {
    std::string path;
    for (auto i = again; i != open.end(); ++i) path += (*i)->id.str() + " -> ";
    return fail(errc::usage, fmt::format("tasks wait for each other: {}{}", path, t.id.str()));
  }
  open.push_back(&t);
  for (const task_id& id : t.after) {
    const task_plan* before = p.find(id);
    if (!before)
      return fail(errc::usage, fmt::format("task '{}' waits for '{}', which the plan does not have",
                                           t.id.str(), id.str()));
    REMORA_CHECK(visit(p, *before, open, done));
  }
  open.pop_back();
  done[&t] = true;
  return {};
}

}  // namespace

std::string command_spec::shown() const {
  if (argv.size() == 3 && argv[0] == "sh" && argv[1] == "-c") return argv[2];
  return fmt::format("{}", fmt::join(argv, " "));
}

const task_plan* plan::find(const task_id& id) const {
  const auto found = std::ranges::find(tasks, id, &task_plan::id);
  return found == tasks.end() ? nullptr : &*found;
}

result<void> check_dependencies(const plan& p) {
  std::unordered_map<const task_plan*, bool> done;
  std::vector<const task_plan*> open;
  for (const task_plan& t : p.tasks) REMORA_CHECK(visit(p, t, open, done));
  return {};
}

milliseconds usual_soft(milliseconds wall) {
  using namespace std::chrono_literals;
  return std::min<milliseconds>(wall / 5, 2min);
}

namespace {

/// The longest of its agents'; zero: one of them may be silent for as long as it likes.
milliseconds first_output_of(const task_plan& t, const plan& p) {
  milliseconds longest{0};
  for (const std::string& name : t.agents) {
    const auto* adapter = agent::find_adapter(p.agents.at(name).adapter).value();
    const milliseconds limit = adapter->first_output_limit();
    if (limit.count() == 0) return limit;
    longest = std::max(longest, limit);
  }
  return longest;
}

}  // namespace

void fill_limits(task_plan& t, const limits_said& said, const plan& p) {
  using namespace std::chrono_literals;
  supervise::limits& l = t.limits;
  if (!said.idle) l.idle = 5min;
  if (!said.first_output) l.first_output = first_output_of(t, p);
  if (!said.soft) l.soft = usual_soft(l.wall);
  l.agents = static_cast<std::uint32_t>(t.agents.size());
}

result<plan> ad_hoc_plan(const std::string& adapter, std::string prompt,
                         const std::filesystem::path& repo) {
  REMORA_CHECK(agent::find_adapter(adapter));
  plan p;
  p.name = "prompt";
  p.repo = repo;
  p.parallel = 1;
  p.agents[adapter] = agent::agent_config{
      .name = adapter, .adapter = adapter, .command = {}, .args = {}, .pass_env = {}};
  REMORA_TRY(task_id id, task_id::parse("task"));
  task_plan t{.id = std::move(id),
              .title = {},
              .prompt = std::move(prompt),
              .base = {},
              .base_task = {},
              .after = {},
              .agents = {adapter},
              .limits = {},
              .verify = {},
              .include = {}};
  fill_limits(t, {}, p);
  p.tasks.push_back(std::move(t));
  return p;
}

}  // namespace remora::run

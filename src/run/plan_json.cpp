#include <boost/json.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/run/plan.hpp>

namespace remora::run {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::string_view session_names[] = {"auto", "native", "fresh"};
constexpr std::string_view keep_names[] = {"failed", "never", "always"};

json::array texts(const std::vector<std::string>& v) {
  return json::array(v.begin(), v.end());
}

json::value command(const std::optional<command_spec>& c) {
  if (!c) return nullptr;
  return json::object{{"argv", texts(c->argv)}, {"timeout_ms", c->timeout.count()}};
}

json::object budget_json(const budget& b) {
  return {{"turns", b.turns}, {"tokens", b.tokens}, {"cost_usd", b.cost_usd}};
}

json::object limits_json(const supervise::limits& l) {
  return {{"wall_ms", l.wall.count()},
          {"idle_ms", l.idle.count()},
          {"first_output_ms", l.first_output.count()},
          {"tool_ms", l.tool.count()},
          {"soft_ms", l.soft.count()},
          {"grace_ms", l.grace.count()},
          {"snapshot_ms", l.snapshot.count()},
          {"rate_wait_ms", l.rate_wait.count()},
          {"attempts", l.attempts},
          {"checkpoint_turns", l.checkpoints.turns},
          {"checkpoint_mutations", l.checkpoints.mutations},
          {"checkpoint_interval_ms", l.checkpoints.interval.count()},
          {"checkpoint_min_gap_ms", l.checkpoints.min_gap.count()}};
}

json::object tree_json(const process::tree_limits& l) {
  return {{"memory_bytes", l.memory_bytes}, {"processes", l.processes}};
}

json::object task_json(const task_plan& t) {
  json::array after;
  for (const task_id& id : t.after) after.emplace_back(id.str());
  return {{"id", t.id.str()},
          {"title", t.title},
          {"prompt", t.prompt},
          {"base", t.base},
          {"base_task", t.base_task ? json::value(t.base_task->str()) : json::value(nullptr)},
          {"after", std::move(after)},
          {"agent", t.agents.size() == 1 ? json::value(t.agents[0]) : json::value(texts(t.agents))},
          {"limits", limits_json(t.limits)},
          {"budget", budget_json(t.budget)},
          {"tree", tree_json(t.tree)},
          {"session", session_names[static_cast<int>(t.session)]},
          {"verify", command(t.verify)},
          {"include", texts(t.include)},
          {"branch", t.branch},
          {"max_file_bytes", t.max_file_bytes},
          {"max_checkpoint_bytes", t.max_checkpoint_bytes},
          {"max_disk_bytes", t.max_disk_bytes},
          {"brief", t.brief}};
}

json::object agent_json(const agent::agent_config& a) {
  const json::value prices = a.prices ? json::object{{"input", a.prices->input},
                                                     {"output", a.prices->output},
                                                     {"cached", a.prices->cached}}
                                      : json::value(nullptr);
  return {{"adapter", a.adapter},
          {"prices", prices},
          {"command", texts(a.command)},
          {"args", texts(a.args)},
          {"permissions", a.permissions == agent::permissions::full ? "full" : "default"},
          {"pass_env", texts(a.pass_env)},
          {"account", a.account}};
}

// --- reading: what was written by `to_json` of this version; anything else throws, and is
// errc::corrupt ---

std::string text(const json::object& o, std::string_view key) {
  return std::string(o.at(key).as_string());
}
milliseconds ms(const json::object& o, std::string_view key) {
  return milliseconds(o.at(key).to_number<std::int64_t>());
}

/// A key that the first plans of this version did not have.
std::uint64_t size_or(const json::object& o, std::string_view key, std::uint64_t otherwise) {
  const json::value* v = o.if_contains(key);
  return v ? v->to_number<std::uint64_t>() : otherwise;
}

std::vector<std::string> list(const json::value& v) {
  std::vector<std::string> out;
  for (const json::value& item : v.as_array()) out.emplace_back(item.as_string());
  return out;
}

std::optional<command_spec> read_command(const json::value& v) {
  if (v.is_null()) return std::nullopt;
  return command_spec{list(v.as_object().at("argv")), ms(v.as_object(), "timeout_ms")};
}

template <class Enum, std::size_t N>
Enum read_name(const json::object& o, std::string_view key, const std::string_view (&names)[N]) {
  const std::string name = text(o, key);
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name) return static_cast<Enum>(i);
  throw std::invalid_argument("unknown " + std::string(key) + " '" + name + "'");
}

supervise::limits read_limits(const json::object& o) {
  supervise::limits l;
  l.wall = ms(o, "wall_ms");
  l.idle = ms(o, "idle_ms");
  l.first_output = ms(o, "first_output_ms");
  // The first plans that were recorded had neither.
  if (o.contains("tool_ms")) l.tool = ms(o, "tool_ms");
  if (o.contains("rate_wait_ms")) l.rate_wait = ms(o, "rate_wait_ms");
  l.soft = ms(o, "soft_ms");
  l.grace = ms(o, "grace_ms");
  l.snapshot = ms(o, "snapshot_ms");
  l.attempts = o.at("attempts").to_number<std::uint32_t>();
  l.checkpoints.turns = o.at("checkpoint_turns").to_number<std::uint32_t>();
  l.checkpoints.mutations = o.at("checkpoint_mutations").as_bool();
  l.checkpoints.interval = ms(o, "checkpoint_interval_ms");
  l.checkpoints.min_gap = ms(o, "checkpoint_min_gap_ms");
  return l;
}

/// The first plans that were recorded had none.
budget read_budget(const json::object& of) {
  const json::value* b = of.if_contains("budget");
  if (!b) return {};
  const json::object& o = b->as_object();
  return {o.at("turns").to_number<std::uint64_t>(), o.at("tokens").to_number<std::uint64_t>(),
          o.at("cost_usd").to_number<double>()};
}

/// The first plans that were recorded had none.
process::tree_limits read_tree(const json::object& of) {
  const json::value* l = of.if_contains("tree");
  if (!l) return {};
  const json::object& o = l->as_object();
  return {o.at("memory_bytes").to_number<std::uint64_t>(),
          o.at("processes").to_number<std::uint32_t>()};
}

std::optional<agent::prices> read_prices(const json::object& of) {
  const json::value* p = of.if_contains("prices");
  if (!p || p->is_null()) return std::nullopt;
  const json::object& o = p->as_object();
  return agent::prices{o.at("input").to_number<double>(), o.at("output").to_number<double>(),
                       o.at("cached").to_number<double>()};
}

task_plan read_task(const json::object& o) {
  task_plan t{.id = task_id::parse(text(o, "id")).value(),
              .title = text(o, "title"),
              .prompt = text(o, "prompt"),
              .base = text(o, "base"),
              .base_task = {},
              .after = {},
              .agents = {},
              .limits = read_limits(o.at("limits").as_object()),
              .budget = read_budget(o),
              .tree = read_tree(o),
              .session = read_name<session_policy>(o, "session", session_names),
              .verify = read_command(o.at("verify")),
              .include = list(o.at("include")),
              .branch = o.at("branch").as_bool(),
              .brief = o.at("brief").as_bool()};
  t.agents = o.at("agent").is_array() ? list(o.at("agent")) : std::vector{text(o, "agent")};
  t.limits.agents = static_cast<std::uint32_t>(t.agents.size());
  for (const std::string& id : list(o.at("after"))) t.after.push_back(task_id::parse(id).value());
  if (o.at("base_task").is_string()) t.base_task = task_id::parse(text(o, "base_task")).value();
  t.limits.verifies = t.verify.has_value();
  t.max_file_bytes = size_or(o, "max_file_bytes", t.max_file_bytes);
  t.max_checkpoint_bytes = size_or(o, "max_checkpoint_bytes", t.max_checkpoint_bytes);
  t.max_disk_bytes = size_or(o, "max_disk_bytes", t.max_disk_bytes);
  return t;
}

/// It names a file, too.
std::string read_account(const json::object& o) {
  const std::string account = json_text(o, "account");
  return account.empty() ? account : task_id::parse(account).value().str();
}

agent::agent_config read_agent(std::string name, const json::object& o) {
  return {.name = std::move(name),
          .adapter = text(o, "adapter"),
          .command = list(o.at("command")),
          .args = list(o.at("args")),
          .permissions = text(o, "permissions") == "full" ? agent::permissions::full
                                                          : agent::permissions::standard,
          .pass_env = list(o.at("pass_env")),
          .prices = read_prices(o),
          .account = read_account(o)};
}

}  // namespace

json::object to_json(const plan& p) {
  json::array tasks;
  for (const task_plan& t : p.tasks) tasks.emplace_back(task_json(t));
  json::object agents;
  for (const auto& [name, a] : p.agents) agents[name] = agent_json(a);
  const workspace_plan& w = p.workspace;
  return {{"version", 1},
          {"name", p.name},
          {"repo", p.repo.string()},
          {"base", p.base},
          {"parallel", p.parallel},
          {"budget", budget_json(p.budget)},
          {"rules", p.rules},
          {"agents", std::move(agents)},
          {"workspace",
           json::object{{"copy", w.copy ? json::value(texts(*w.copy)) : json::value(nullptr)},
                        {"setup", command(w.setup)},
                        {"keep", keep_names[static_cast<int>(w.keep)]},
                        {"dir", w.dir}}},
          {"result_max_file_bytes", p.result_max_file_bytes},
          {"tasks", std::move(tasks)}};
}

result<plan> plan_from_json(const json::object& o) try {
  plan p;
  p.name = text(o, "name");
  p.repo = text(o, "repo");
  p.base = text(o, "base");
  p.parallel = o.at("parallel").to_number<std::uint32_t>();
  p.budget = read_budget(o);
  p.rules = text(o, "rules");
  for (const auto& [name, a] : o.at("agents").as_object())
    p.agents.emplace(name, read_agent(std::string(name), a.as_object()));
  const json::object& w = o.at("workspace").as_object();
  if (w.at("copy").is_array()) p.workspace.copy = list(w.at("copy"));
  p.workspace.setup = read_command(w.at("setup"));
  p.workspace.keep = read_name<keep_policy>(w, "keep", keep_names);
  p.workspace.dir = text(w, "dir");
  p.result_max_file_bytes = o.at("result_max_file_bytes").to_number<std::uint64_t>();
  for (const json::value& t : o.at("tasks").as_array()) p.tasks.push_back(read_task(t.as_object()));
  return p;
} catch (const std::exception& e) {
  return fail(errc::corrupt, std::string("the recorded plan cannot be read: ") + e.what());
}

result<plan> recorded_plan(const json::object& run) {
  const json::value* recorded = run.if_contains("plan");
  if (!recorded || !recorded->is_object())
    return fail(errc::corrupt, "there is no plan in the run's record");
  return plan_from_json(recorded->get_object());
}

}  // namespace remora::run

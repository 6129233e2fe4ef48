#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/run/plan.hpp>
#include <set>

#include "run/plan_limits.hpp"
#include "run/yaml_reader.hpp"

namespace remora::run {
namespace {

using field = yaml_reader::field;
using YAML::Node;

constexpr std::size_t longest_prompt = 4u << 20;
constexpr std::uint32_t most_at_once = 10'000;
constexpr std::uint64_t least_memory = 4u << 20;
constexpr std::uint32_t most_processes = 4u << 20;  // the kernel has no higher number for one

/// A task while it is read: what was said explicitly, so that defaults that depend on others come
/// last.
struct draft {
  task_plan task;
  limits_said said;
};

class plan_reader {
 public:
  plan_reader(const std::filesystem::path& file, plan& to)
      : yaml_(file.string()), dir_(file.parent_path()), plan_(to) {}

  result<void> read(const Node& root);
  /// As part of a plan that was read before.
  result<void> change(const Node& root);
  result<void> check_limits(const Node& node, const task_plan& t) const;

 private:
  result<void> agents(const Node& node);
  result<void> agent(const Node& node, const std::string& name);
  result<void> workspace(const Node& node);
  result<void> outcome(const Node& node);
  result<void> tasks(const Node& node);
  result<void> task(const Node& node);
  std::vector<field> settings(draft& d);
  result<void> limits(const Node& node, draft& d);
  result<void> checkpoints(const Node& node, draft& d);
  result<void> base(const Node& node, task_plan& t);
  result<void> command(const Node& node, std::optional<command_spec>& to);
  result<void> run_budget(const Node& node);
  result<void> prices(const Node& node, agent::agent_config& a);
  result<void> change(task_plan& t, std::string_view key, const Node& node);
  result<void> finish(const Node& node, draft& d);

  yaml_reader yaml_;
  std::filesystem::path dir_;
  plan& plan_;
  draft defaults_{.task = {.id = task_id::parse("defaults").value(),
                           .title = {},
                           .prompt = {},
                           .base = {},
                           .base_task = {},
                           .after = {},
                           .agents = {},
                           .limits = {},
                           .verify = {},
                           .include = {}},
                  .said = {}};
};

result<void> plan_reader::read(const Node& root) {
  Node late_tasks, late_defaults;
  std::string version, repo;
  const std::array fields{
      field{"version",
            [&](const Node& n) -> result<void> {
              REMORA_CHECK(yaml_.text(n, version));
              if (version != "1")
                return yaml_.at(
                    n, fmt::format("plan version '{}' is not known; this is version 1", version));
              return {};
            }},
      field{"name", [&](const Node& n) { return yaml_.text(n, plan_.name); }},
      field{"repo", [&](const Node& n) { return yaml_.text(n, repo); }},
      field{"base", [&](const Node& n) { return yaml_.text(n, plan_.base); }},
      field{"parallel",
            [&](const Node& n) { return yaml_.positive(n, plan_.parallel, most_at_once); }},
      field{"budget", [&](const Node& n) { return run_budget(n); }},
      field{"rules", [&](const Node& n) { return yaml_.text(n, plan_.rules); }},
      field{"agents", [&](const Node& n) { return agents(n); }},
      field{"workspace", [&](const Node& n) { return workspace(n); }},
      field{"result", [&](const Node& n) { return outcome(n); }},
      field{"defaults",
            [&](const Node& n) -> result<void> {
              late_defaults.reset(n);
              return {};
            }},
      field{"tasks",
            [&](const Node& n) -> result<void> {
              late_tasks.reset(n);
              return {};
            }},
  };
  constexpr std::array<std::string_view, 1> later{"tasks_from"};
  REMORA_CHECK(yaml_.map(root, "the plan", fields, later));
  if (version.empty()) return yaml_.at(root, "the plan must begin with 'version: 1'");
  plan_.repo = repo.empty() ? dir_ : dir_ / repo;
  if (!late_defaults.IsNull())
    REMORA_CHECK(yaml_.map(late_defaults, "'defaults'", settings(defaults_)));
  if (late_tasks.IsNull()) return yaml_.at(root, "the plan has no tasks");
  REMORA_CHECK(tasks(late_tasks));
  if (auto order = check_dependencies(plan_); !order)
    return yaml_.at(late_tasks, order.error().what);
  return {};
}

result<void> plan_reader::agents(const Node& node) {
  if (!node.IsMap()) return yaml_.at(node, "'agents' must be a map of names");
  for (const auto& pair : node) {
    std::string name;
    REMORA_CHECK(yaml_.text(pair.first, name));
    if (auto id = task_id::parse(name); !id)
      return yaml_.at(pair.first,
                      fmt::format("'{}' cannot name an agent: use a-z, 0-9 and '-'", name));
    if (plan_.agents.contains(name))
      return yaml_.at(pair.first, fmt::format("agent '{}' stands here twice", name));
    REMORA_CHECK(agent(pair.second, name));
  }
  return {};
}

result<void> plan_reader::agent(const Node& node, const std::string& name) {
  agent::agent_config a{.name = name, .adapter = {}, .command = {}, .args = {}, .pass_env = {}};
  const std::array fields{
      field{"adapter",
            [&](const Node& n) -> result<void> {
              REMORA_CHECK(yaml_.text(n, a.adapter));
              if (auto known = agent::find_adapter(a.adapter); !known)
                return yaml_.at(n, known.error().what);
              return {};
            }},
      field{"command", [&](const Node& n) { return yaml_.texts(n, a.command); }},
      field{"args", [&](const Node& n) { return yaml_.texts(n, a.args); }},
      field{"permissions",
            [&](const Node& n) -> result<void> {
              std::string p;
              REMORA_CHECK(yaml_.text(n, p));
              if (p != "full" && p != "default")
                return yaml_.at(n, fmt::format("permissions are 'full' or 'default', not '{}'", p));
              a.permissions = p == "full" ? agent::permissions::full : agent::permissions::standard;
              return {};
            }},
      field{"pass_env", [&](const Node& n) { return yaml_.texts(n, a.pass_env); }},
      field{"prices", [&](const Node& n) { return prices(n, a); }},
      field{"account",
            [&](const Node& n) -> result<void> {
              REMORA_CHECK(yaml_.text(n, a.account));
              if (auto id = task_id::parse(a.account); !id)
                return yaml_.at(
                    n, fmt::format("'{}' cannot name an account: use a-z, 0-9 and '-'", a.account));
              return {};
            }},
  };
  constexpr std::array<std::string_view, 1> later{"map"};
  REMORA_CHECK(yaml_.map(node, fmt::format("agent '{}'", name), fields, later));
  if (a.adapter.empty()) return yaml_.at(node, fmt::format("agent '{}' needs an adapter", name));
  const auto known = agent::find_adapter(a.adapter);
  if (a.command.empty() && known.has_value() && (*known)->default_command().empty())
    return yaml_.at(
        node, fmt::format("agent '{}' needs a command: adapter '{}' has none of its own", name,
                          a.adapter));
  plan_.agents.emplace(name, std::move(a));
  return {};
}

result<void> plan_reader::workspace(const Node& node) {
  workspace_plan& w = plan_.workspace;
  const std::array fields{
      field{"copy", [&](const Node& n) { return yaml_.texts(n, w.copy.emplace()); }},
      field{"setup", [&](const Node& n) { return command(n, w.setup); }},
      field{"dir", [&](const Node& n) { return yaml_.text(n, w.dir); }},
      field{"keep",
            [&](const Node& n) -> result<void> {
              std::string keep;
              REMORA_CHECK(yaml_.text(n, keep));
              if (keep == "failed")
                w.keep = keep_policy::failed;
              else if (keep == "never")
                w.keep = keep_policy::never;
              else if (keep == "always")
                w.keep = keep_policy::always;
              else
                return yaml_.at(
                    n, fmt::format("keep is 'failed', 'never' or 'always', not '{}'", keep));
              return {};
            }},
  };
  constexpr std::array<std::string_view, 1> later{"sparse"};
  return yaml_.map(node, "'workspace'", fields, later);
}

result<void> plan_reader::outcome(const Node& node) {
  const std::array fields{field{"max_file", [&](const Node& n) {
                                  return yaml_.scalar(n, plan_.result_max_file_bytes, parse_size);
                                }}};
  return yaml_.map(node, "'result'", fields);
}

result<void> plan_reader::tasks(const Node& node) {
  if (!node.IsSequence() || node.size() == 0)
    return yaml_.at(node, "the plan has no tasks: 'tasks' is a list with at least one");
  for (const Node& n : node) REMORA_CHECK(task(n));
  return {};
}

result<void> plan_reader::task(const Node& node) {
  draft d = defaults_;
  std::string id, prompt_file;
  std::vector<std::string> after;
  Node after_node;
  std::vector<field> fields = settings(d);
  fields.push_back({"id", [&](const Node& n) -> result<void> {
                      REMORA_CHECK(yaml_.text(n, id));
                      auto parsed = task_id::parse(id);
                      if (!parsed) return yaml_.at(n, parsed.error().what);
                      if (plan_.find(*parsed))
                        return yaml_.at(n, fmt::format("task '{}' stands here twice", id));
                      d.task.id = std::move(*parsed);
                      return {};
                    }});
  fields.push_back({"title", [&](const Node& n) { return yaml_.text(n, d.task.title); }});
  fields.push_back({"prompt", [&](const Node& n) { return yaml_.text(n, d.task.prompt); }});
  fields.push_back({"prompt_file", [&](const Node& n) -> result<void> {
                      REMORA_CHECK(yaml_.text(n, prompt_file));
                      auto text = read_file(dir_ / prompt_file, longest_prompt);
                      if (!text) return yaml_.at(n, text.error().what);
                      d.task.prompt = std::move(*text);
                      return {};
                    }});
  fields.push_back({"after", [&](const Node& n) {
                      after_node.reset(n);
                      return yaml_.texts(n, after);
                    }});
  fields.push_back({"base", [&](const Node& n) { return base(n, d.task); }});
  REMORA_CHECK(yaml_.map(node, "a task", fields));
  if (id.empty()) return yaml_.at(node, "a task needs an id");
  if (node["prompt"] && node["prompt_file"])
    return yaml_.at(node, fmt::format("task '{}' has both prompt and prompt_file", id));
  for (const std::string& name : after) {
    auto parsed = task_id::parse(name);
    if (!parsed) return yaml_.at(after_node, parsed.error().what);
    d.task.after.push_back(std::move(*parsed));
  }
  if (d.task.base_task && std::ranges::find(d.task.after, *d.task.base_task) == d.task.after.end())
    d.task.after.push_back(*d.task.base_task);
  return finish(node, d);
}

/// What depends on several keys: which agent, and the defaults that follow from it.
result<void> plan_reader::finish(const Node& node, draft& d) {
  task_plan& t = d.task;
  if (t.prompt.find_first_not_of(" \t\r\n") == t.prompt.npos)
    return yaml_.at(node, fmt::format("task '{}' needs a prompt or a prompt_file", t.id.str()));
  if (t.agents.empty() && plan_.agents.size() == 1) t.agents = {plan_.agents.begin()->first};
  if (t.agents.empty()) return yaml_.at(node, fmt::format("task '{}' needs an agent", t.id.str()));
  for (const std::string& name : t.agents) {
    if (!plan_.agents.contains(name))
      return yaml_.at(node, fmt::format("task '{}' names agent '{}', which 'agents' does not have",
                                        t.id.str(), name));
    if (std::ranges::count(t.agents, name) > 1)
      return yaml_.at(node, fmt::format("task '{}' names agent '{}' twice", t.id.str(), name));
  }
  fill_limits(t, d.said, plan_);
  REMORA_CHECK(check_limits(node, t));
  t.limits.verifies = t.verify.has_value();
  plan_.tasks.push_back(std::move(t));
  return {};
}

result<void> plan_reader::check_limits(const Node& node, const task_plan& t) const {
  if (t.limits.soft < t.limits.wall) return {};
  return yaml_.at(node, fmt::format("task '{}': soft must be shorter than wall", t.id.str()));
}

result<void> plan_reader::change(const Node& root) {
  std::vector<field> fields{{"budget", [&](const Node& n) { return run_budget(n); }}};
  for (const std::string_view key : {"limits", "attempts", "checkpoint"})
    fields.push_back({key, [&, key](const Node& n) -> result<void> {
                        for (task_plan& t : plan_.tasks) REMORA_CHECK(change(t, key, n));
                        return {};
                      }});
  return yaml_.map(root, "what may be set", fields);
}

result<void> plan_reader::change(task_plan& t, std::string_view key, const Node& node) {
  draft d{.task = t, .said = {}};
  const std::vector<field> known = settings(d);
  REMORA_CHECK(std::ranges::find(known, key, &field::key)->read(node));
  // A default that follows from `wall` goes on doing so.
  if (!d.said.soft && t.limits.soft == usual_soft(t.limits.wall))
    d.task.limits.soft = usual_soft(d.task.limits.wall);
  t = std::move(d.task);
  return {};
}

/// The fields that `defaults` and a task share.
std::vector<field> plan_reader::settings(draft& d) {
  task_plan& t = d.task;
  return {
      {"agent",
       [&](const Node& n) -> result<void> {
         t.agents.clear();
         if (!n.IsSequence()) return yaml_.text(n, t.agents.emplace_back());
         REMORA_CHECK(yaml_.texts(n, t.agents));
         if (t.agents.empty()) return yaml_.at(n, "a list of agents needs at least one");
         return {};
       }},
      {"limits", [&](const Node& n) { return limits(n, d); }},
      {"attempts", [&](const Node& n) { return yaml_.positive(n, t.limits.attempts, 1000); }},
      {"checkpoint", [&](const Node& n) { return checkpoints(n, d); }},
      {"session",
       [&](const Node& n) -> result<void> {
         std::string s;
         REMORA_CHECK(yaml_.text(n, s));
         if (s == "auto")
           t.session = session_policy::automatic;
         else if (s == "native")
           t.session = session_policy::native;
         else if (s == "fresh")
           t.session = session_policy::fresh;
         else
           return yaml_.at(n, fmt::format("session is 'auto', 'native' or 'fresh', not '{}'", s));
         return {};
       }},
      {"verify", [&](const Node& n) { return command(n, t.verify); }},
      {"include", [&](const Node& n) { return yaml_.texts(n, t.include); }},
      {"brief", [&](const Node& n) { return yaml_.flag(n, t.brief); }},
  };
}

result<void> plan_reader::limits(const Node& node, draft& d) {
  supervise::limits& l = d.task.limits;
  process::tree_limits& tree = d.task.tree;
  const std::array fields{
      field{"wall", [&](const Node& n) { return yaml_.duration(n, l.wall); }},
      field{"idle",
            [&](const Node& n) {
              d.said.idle = true;
              return yaml_.duration(n, l.idle);
            }},
      field{"first_output",
            [&](const Node& n) {
              d.said.first_output = true;
              return yaml_.duration(n, l.first_output);
            }},
      field{"tool", [&](const Node& n) { return yaml_.duration(n, l.tool); }},
      field{"soft",
            [&](const Node& n) {
              d.said.soft = true;
              return yaml_.duration(n, l.soft);
            }},
      field{"grace", [&](const Node& n) { return yaml_.duration(n, l.grace); }},
      field{"snapshot", [&](const Node& n) { return yaml_.duration(n, l.snapshot); }},
      field{"rate_wait", [&](const Node& n) { return yaml_.duration(n, l.rate_wait); }},
      field{"memory",
            [&](const Node& n) { return yaml_.size(n, tree.memory_bytes, least_memory); }},
      field{"processes",
            [&](const Node& n) { return yaml_.positive(n, tree.processes, most_processes); }},
      field{"turns", [&](const Node& n) { return yaml_.count(n, d.task.budget.turns); }},
      field{"tokens", [&](const Node& n) { return yaml_.count(n, d.task.budget.tokens); }},
      field{"cost_usd",
            [&](const Node& n) { return yaml_.amount(n, d.task.budget.cost_usd, false); }},
  };
  return yaml_.map(node, "'limits'", fields);
}

result<void> plan_reader::checkpoints(const Node& node, draft& d) {
  supervise::checkpoint_rules& c = d.task.limits.checkpoints;
  const std::array fields{
      field{"turns", [&](const Node& n) { return yaml_.positive(n, c.turns, 1'000'000); }},
      field{"mutations", [&](const Node& n) { return yaml_.flag(n, c.mutations); }},
      field{"interval", [&](const Node& n) { return yaml_.duration(n, c.interval); }},
      field{"min_gap", [&](const Node& n) { return yaml_.duration(n, c.min_gap); }},
      field{"branch", [&](const Node& n) { return yaml_.flag(n, d.task.branch); }},
      field{"max_file", [&](const Node& n) { return yaml_.size(n, d.task.max_file_bytes); }},
      field{"max_total", [&](const Node& n) { return yaml_.size(n, d.task.max_checkpoint_bytes); }},
      field{"max_disk", [&](const Node& n) { return yaml_.size(n, d.task.max_disk_bytes); }},
  };
  return yaml_.map(node, "'checkpoint'", fields);
}

result<void> plan_reader::base(const Node& node, task_plan& t) {
  if (node.IsScalar()) return yaml_.text(node, t.base);
  const std::array fields{field{"task", [&](const Node& n) -> result<void> {
                                  std::string name;
                                  REMORA_CHECK(yaml_.text(n, name));
                                  auto id = task_id::parse(name);
                                  if (!id) return yaml_.at(n, id.error().what);
                                  t.base_task = std::move(*id);
                                  return {};
                                }}};
  return yaml_.map(node, "'base'", fields);
}

/// `make test`, `[make, test]`, or `{run: …, timeout: 10m}`.
result<void> plan_reader::command(const Node& node, std::optional<command_spec>& to) {
  command_spec c;
  const auto argv = [&](const Node& n) -> result<void> {
    std::string line;
    if (n.IsSequence()) {
      REMORA_CHECK(yaml_.texts(n, c.argv));
    } else {
      REMORA_CHECK(yaml_.text(n, line));
      c.argv = {"sh", "-c", line};
    }
    if (c.argv.empty() || c.argv.back().empty()) return yaml_.at(n, "the command is empty");
    return {};
  };
  const std::array fields{field{"run", argv}, field{"timeout", [&](const Node& n) {
                                                      return yaml_.duration(n, c.timeout);
                                                    }}};
  REMORA_CHECK(node.IsMap() ? yaml_.map(node, "a command", fields) : argv(node));
  if (c.argv.empty()) return yaml_.at(node, "a command needs 'run'");
  to = std::move(c);
  return {};
}

result<void> plan_reader::run_budget(const Node& node) {
  const std::array fields{
      field{"tokens", [&](const Node& n) { return yaml_.count(n, plan_.budget.tokens); }},
      field{"cost_usd",
            [&](const Node& n) { return yaml_.amount(n, plan_.budget.cost_usd, false); }}};
  return yaml_.map(node, "'budget'", fields);
}

result<void> plan_reader::prices(const Node& node, agent::agent_config& a) {
  std::optional<double> input, output, cached;
  const auto price = [&](std::optional<double>& to) {
    return [&](const Node& n) { return yaml_.amount(n, to.emplace(), true); };
  };
  const std::array fields{field{"input", price(input)}, field{"output", price(output)},
                          field{"cached", price(cached)}};
  REMORA_CHECK(yaml_.map(node, "'prices'", fields));
  if (!input || !output)
    return yaml_.at(node, "'prices' needs input and output: US dollars for a million tokens");
  a.prices = agent::prices{*input, *output, cached.value_or(*input)};
  return {};
}

}  // namespace

result<void> apply_settings(plan& p, std::span<const std::string> settings) {
  for (const std::string& setting : settings) {
    const std::string file = "--set " + setting;
    const std::size_t equals = setting.find('=');
    if (equals == setting.npos || equals == 0)
      return fail(errc::usage, file + ": KEY=VALUE is expected, such as limits.tokens=4M");
    Node value(setting.substr(equals + 1));
    const auto keys = split(std::string_view(setting).substr(0, equals), '.');
    for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
      Node above;
      above[std::string(*key)] = value;
      value.reset(above);
    }
    REMORA_CHECK(plan_reader(file, p).change(value));
  }
  const plan_reader reader("--set", p);
  for (const task_plan& t : p.tasks) REMORA_CHECK(reader.check_limits(Node(), t));
  return {};
}

result<plan> parse_plan(std::string_view yaml, const std::filesystem::path& file) {
  plan p;
  p.name = file.stem().string();
  try {
    const Node root = YAML::Load(std::string(yaml));
    REMORA_CHECK(plan_reader(file, p).read(root));
  } catch (
      const YAML::Exception& e) {  // of the parser; the reader itself checks before it converts
    return fail(errc::usage, fmt::format("{}:{}:{}: {}", file.string(), e.mark.line + 1,
                                         e.mark.column + 1, e.msg));
  }
  return p;
}

result<plan> read_plan(const std::filesystem::path& file) {
  auto text = read_file(file, 16u << 20);
  if (!text) return fail(errc::usage, fmt::format("cannot read the plan: {}", text.error().what));
  return parse_plan(*text, std::filesystem::absolute(file));
}

}  // namespace remora::run

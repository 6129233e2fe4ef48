#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/run/pauses.hpp>
#include <remora/run/plan.hpp>

using namespace remora;
using namespace std::chrono_literals;

namespace {

constexpr const char* whole = R"(version: 1
name: nightly
base: main
parallel: 2
rules: |
  Never touch src/vendor.
agents:
  coder: {adapter: text, command: [./agent.sh], args: [--fast], permissions: default, pass_env: [MY_KEY]}
  other: {adapter: jsonl, command: [other]}
workspace: {copy: [.env], setup: {run: npm ci, timeout: 5m}, keep: always}
result: {max_file: 2M}
defaults:
  agent: coder
  limits: {wall: 10m, grace: 3s}
  attempts: 5
  checkpoint: {interval: 10s, min_gap: 1s}
tasks:
  - id: lexer
    prompt: Write the lexer.
  - id: parser
    title: The parser
    prompt: Write the parser.
    agent: [other]
    base: {task: lexer}
    verify: {run: [make, test], timeout: 1m}
    include: ["build/**"]
    session: fresh
    limits: {idle: 90s, soft: 1m, tool: 5m, rate_wait: 2h, memory: 4G, processes: 512}
    checkpoint: {branch: false, max_file: 1M, max_total: 8M, max_disk: 16M}
)";

/// One task, with a limit above it.
run::plan with_limits(const std::string& limits) {
  return run::parse_plan(
             "version: 1\nbudget: {tokens: 5M, cost_usd: 2.5}\nagents: {a: {adapter: text, "
             "command: [x], prices: {input: 3, output: 15, cached: 0}}}\ntasks:\n  - {id: "
             "one, prompt: p, limits: " +
                 limits + "}\n",
             "/repo/plan.yaml")
      .value();
}

std::string error_of_setting(const std::string& setting) {
  run::plan p = with_limits("{}");
  const auto set = run::apply_settings(p, std::vector{setting});
  return set ? "no error" : set.error().what;
}

std::string error_of(const std::string& yaml) {
  const auto p = run::parse_plan(yaml, "/repo/plan.yaml");
  return p ? "no error" : p.error().what;
}

std::string with_task(const std::string& lines) {
  return "version: 1\nagents: {a: {adapter: text, command: [x]}}\ntasks:\n  - id: one\n    prompt: "
         "p\n" +
         lines;
}

void check_error(const std::string& yaml, const std::string& place, const std::string& part) {
  const std::string what = error_of(yaml);
  BOOST_TEST(what.starts_with("/repo/plan.yaml:" + place + ": "), what);
  BOOST_TEST(what.find(part) != std::string::npos, what);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plans)

BOOST_AUTO_TEST_CASE(every_key_is_read) {
  const auto p = run::parse_plan(whole, "/repo/plan.yaml");
  BOOST_REQUIRE_MESSAGE(p, (p ? "" : p.error().what));
  BOOST_TEST(p->name == "nightly");
  BOOST_TEST(p->parallel == 2u);
  BOOST_TEST(p->repo == "/repo");
  BOOST_TEST(p->result_max_file_bytes == 2u << 20);
  BOOST_TEST((p->workspace.keep == run::keep_policy::always));
  BOOST_TEST((p->workspace.setup->timeout == 5min));
  BOOST_TEST((p->agents.at("coder").permissions == agent::permissions::standard));
  const run::task_plan& lexer = p->tasks.at(0);
  BOOST_TEST(lexer.agents.at(0) == "coder");
  BOOST_TEST((lexer.limits.wall == 10min));
  BOOST_TEST((lexer.limits.soft == 2min));  // a fifth of wall, at most 2 m
  BOOST_TEST((lexer.limits.idle == 5min));
  BOOST_TEST(lexer.limits.attempts == 5u);
  const run::task_plan& parser = p->tasks.at(1);
  BOOST_TEST(parser.agents.at(0) == "other");
  BOOST_TEST(parser.base_task->str() == "lexer");
  BOOST_TEST(parser.after.at(0).str() == "lexer");
  BOOST_TEST((parser.limits.soft == 1min));
  BOOST_TEST((parser.limits.idle == 90s));
  BOOST_TEST((parser.limits.tool == 5min));
  BOOST_TEST((parser.limits.rate_wait == 2h));
  BOOST_TEST(parser.tree.memory_bytes == 4ull << 30);
  BOOST_TEST(parser.tree.processes == 512u);
  BOOST_TEST(lexer.tree.memory_bytes == 0u);
  BOOST_TEST(lexer.tree.processes == 0u);
  BOOST_TEST(parser.limits.verifies);
  BOOST_TEST(!parser.branch);
  BOOST_TEST(lexer.max_file_bytes == 100u << 20);
  BOOST_TEST(lexer.max_checkpoint_bytes == 1u << 30);
  BOOST_TEST(parser.max_file_bytes == 1u << 20);
  BOOST_TEST(parser.max_checkpoint_bytes == 8u << 20);
  BOOST_TEST(lexer.max_disk_bytes == 5ull << 30);
  BOOST_TEST(parser.max_disk_bytes == 16u << 20);
  BOOST_TEST(parser.verify->shown() == "make test");
}

BOOST_AUTO_TEST_CASE(a_recorded_plan_is_the_same_plan) {
  const run::plan p = run::parse_plan(whole, "/repo/plan.yaml").value();
  const auto again = run::plan_from_json(run::to_json(p));
  BOOST_REQUIRE_MESSAGE(again, (again ? "" : again.error().what));
  BOOST_TEST(boost::json::serialize(run::to_json(*again)) ==
             boost::json::serialize(run::to_json(p)));
  BOOST_TEST(again->tasks.at(1).limits.verifies);

  boost::json::object older = run::to_json(p);  // of a version that had no such limits
  for (boost::json::value& t : older["tasks"].as_array()) t.as_object().erase("tree");
  BOOST_TEST(run::plan_from_json(older).value().tasks.at(1).tree.memory_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(limits_of_the_tree_hold_for_all_tasks_and_can_be_set) {
  run::plan p = run::parse_plan(
                    "version: 1\nagents: {a: {adapter: text, command: [x]}}\n"
                    "defaults: {limits: {memory: 536870912, processes: 64}}\n"
                    "tasks:\n  - {id: one, prompt: p}\n  - {id: two, prompt: p, limits: {memory: "
                    "512M}}\n",
                    "/repo/plan.yaml")
                    .value();
  for (const run::task_plan& t : p.tasks) {
    BOOST_TEST(t.tree.memory_bytes == 512u << 20);
    BOOST_TEST(t.tree.processes == 64u);
  }
  const std::vector<std::string> settings{"limits.memory=8G"};
  BOOST_TEST(run::apply_settings(p, settings).has_value());
  BOOST_TEST(p.tasks[1].tree.memory_bytes == 8ull << 30);
  BOOST_TEST(p.tasks[1].tree.processes == 64u);
}

BOOST_AUTO_TEST_CASE(errors_say_where_and_what) {
  check_error("version: 1\nagents: {a: {adapter: text, command: [x]}}\ntask: []\n", "3:1",
              "unknown key 'task'");
  check_error("version: 2\ntasks: []\n", "1:10", "plan version '2'");
  check_error(with_task("    limits: {wall: 90}\n"), "6:20", "'90' is not a duration");
  check_error(with_task("    limits: {wall: 0s}\n"), "6:20", "longer than zero");
  check_error(with_task("    limits: {wall: 99999999999h}\n"), "6:20", "longer than 1000d");
  check_error(with_task("    limits: {cost_usd: -2}\n"), "6:24", "is not an amount");
  check_error(with_task("    limits: {turns: 0}\n"), "6:21", "above zero");
  check_error(with_task("    limits: {memory: 0}\n"), "6:22", "a size of 4M or more");
  check_error(with_task("    limits: {memory: 4095k}\n"), "6:22", "a size of 4M or more");
  check_error(with_task("    limits: {memory: -4G}\n"), "6:22", "is not a size");
  check_error(with_task("    limits: {memory: 4GB}\n"), "6:22", "is not a size");
  check_error(with_task("    limits: {memory: 99999999999G}\n"), "6:22", "is too large");
  check_error(with_task("    limits: {processes: 0}\n"), "6:25", "a number from 1 to 4194304");
  check_error(with_task("    limits: {processes: 5M}\n"), "6:25", "a number from 1 to 4194304");
  check_error(with_task("  - id: one\n    prompt: q\n"), "6:9", "stands here twice");
  check_error(with_task("  - id: PROJ-12\n    prompt: q\n"), "6:9", "use 'proj-12'");
  check_error(with_task("  - id: two\n    prompt: q\n    after: [three]\n"), "4:3",
              "waits for 'three'");
  check_error(with_task("    after: [two]\n  - id: two\n    prompt: q\n    after: [one]\n"), "4:3",
              "wait for each other: one -> two -> one");
  check_error(with_task("    agent: nobody\n"), "4:5", "names agent 'nobody'");
  check_error(with_task("    attempts: -1\n"), "6:15", "is not a count");
  check_error(with_task("    prompt_file: p.md\n"), "6:18", "cannot open");
  check_error("version: 1\nagents: {a: {adapter: cobol}}\ntasks: []\n", "2:23", "cobol");
  check_error("version: 1\nagents: {a: {adapter: text}}\ntasks: []\n", "2:13", "needs a command");
  check_error("version: 1\nagents: {a: {adapter: text, command: [x]}}\ntasks: []\n", "3:8",
              "no tasks");
  check_error("version: 1\nbudget: {turns: 5}\n", "2:10", "unknown key 'turns' in 'budget'");
  check_error("version: 1\ntasks_from: x\n", "2:1", "'tasks_from' is not supported");
  check_error("version: 1\n\ttasks: x\n", "2:1", "");
}

BOOST_AUTO_TEST_CASE(T3_no_limit_is_nothing_negative_or_too_large) {
  const auto refused = [](const std::string& key, std::initializer_list<const char*> values) {
    for (const std::string value : values) {
      const auto dot = key.find('.');
      const std::string line =
          dot == key.npos ? key + ": " + value
                          : key.substr(0, dot) + ": {" + key.substr(dot + 1) + ": " + value + "}";
      const std::string what = error_of(with_task("    " + line + "\n"));
      BOOST_TEST(what.starts_with("/repo/plan.yaml:6:"), line << ": " << what);
    }
  };
  for (const char* key : {"limits.wall", "limits.idle", "limits.first_output", "limits.tool",
                          "limits.soft", "limits.grace", "limits.snapshot", "limits.rate_wait",
                          "checkpoint.interval", "checkpoint.min_gap"})
    refused(key,
            {"0s", "-1s", "1001d", "9223372036854775807s", "99999999999999999999h", "nan", "5"});
  for (const char* key : {"limits.turns", "limits.tokens", "attempts"})
    refused(key, {"0", "-1", "1.5", "99999999999999999999", "18446744073709551615G", "inf"});
  refused("limits.cost_usd", {"0", "-0.5", "1e400", "nan", "inf"});
  for (const char* key : {"checkpoint.max_file", "checkpoint.max_total", "checkpoint.max_disk"})
    refused(key, {"0", "-1", "99999999999999999999", "18446744073709551615G"});
  refused("checkpoint.turns", {"-1", "99999999999999999999"});
}

BOOST_AUTO_TEST_CASE(an_empty_or_endless_file_is_an_error) {
  BOOST_TEST(error_of("") != "no error");
  BOOST_TEST(error_of("[]") != "no error");
  BOOST_TEST(error_of(std::string(10'000, '[')) != "no error");
}

BOOST_AUTO_TEST_CASE(a_task_may_have_several_agents_and_an_agent_an_account) {
  const std::string agents =
      "version: 1\nagents:\n  a: {adapter: claude, account: work}\n  b: {adapter: qwen}\n  c: "
      "{adapter: text, command: [x]}\ntasks:\n  - {id: one, prompt: p, agent: ";
  const auto first_output = [&](const std::string& list) {
    const run::plan p = run::parse_plan(agents + list + "}\n", "/repo/plan.yaml").value();
    return p.tasks[0].limits.first_output;
  };
  const run::plan read = run::parse_plan(agents + "[a, b]}\n", "/repo/plan.yaml").value();
  const run::plan p = run::plan_from_json(run::to_json(read)).value();
  BOOST_TEST(p.tasks[0].agents == (std::vector<std::string>{"a", "b"}),
             boost::test_tools::per_element());
  BOOST_TEST(p.tasks[0].limits.agents == 2u);
  BOOST_TEST(p.agents.at("a").account == "work");
  BOOST_TEST((first_output("[a, b]") == first_output("a")));
  BOOST_TEST((first_output("[a, c]") == 0ms));
  BOOST_TEST((first_output("[c, a]") == 0ms));
  check_error(agents + "[]}\n", "7:33", "at least one");
  check_error(agents + "[a, a]}\n", "7:5", "names agent 'a' twice");
  check_error(agents + "[a, d]}\n", "7:5", "names agent 'd'");
  check_error("version: 1\nagents: {a: {adapter: claude, account: ../x}}\n", "2:40",
              "cannot name an account");

  boost::json::object recorded = run::to_json(read);
  recorded["agents"].as_object()["a"].as_object()["account"] = "/etc/x";
  BOOST_TEST(run::plan_from_json(recorded).error().is(errc::corrupt));
}

BOOST_AUTO_TEST_CASE(an_account_is_told_by_credentials_and_by_nothing_else) {
  const auto account = [](const std::string& adapter, std::vector<std::string> variables,
                          std::vector<std::string> pass = {}, std::string command = {}) {
    std::vector<char*> from;
    for (std::string& v : variables) from.push_back(v.data());
    from.push_back(nullptr);
    agent::agent_config a{
        .name = "a", .adapter = adapter, .command = {}, .args = {}, .pass_env = std::move(pass)};
    if (!command.empty()) a.command = {command};
    return run::account_of(a, from.data());
  };
  BOOST_TEST(account("claude", {}) == "claude");
  BOOST_TEST(account("claude", {"ANTHROPIC_MODEL=x", "PATH=/bin", "GH_TOKEN=1"}, {"GH_TOKEN"}) ==
             "claude");
  const std::string one = account("claude", {"ANTHROPIC_API_KEY=1"});
  BOOST_TEST(one.starts_with("claude-"));
  BOOST_TEST(account("claude", {"ANTHROPIC_MODEL=x", "ANTHROPIC_API_KEY=1"}) == one);
  BOOST_TEST(account("claude", {"ANTHROPIC_API_KEY=2"}) != one);
  BOOST_TEST(account("text", {"MY_TOKEN=1"}, {}, "x") != account("text", {}, {}, "y"));
  BOOST_TEST(account("text", {"MY_TOKEN=1"}, {}, "x") !=
             account("text", {"MY_TOKEN=1"}, {"MY_TOKEN"}, "x"));
}

BOOST_AUTO_TEST_CASE(budgets_are_read_recorded_and_set) {
  run::plan p = with_limits("{turns: 200, tokens: 2M, cost_usd: 0.5}");
  p = run::plan_from_json(run::to_json(p)).value();
  BOOST_TEST(p.budget.tokens == 5'000'000u);
  BOOST_TEST(p.budget.cost_usd == 2.5);
  BOOST_TEST(p.tasks[0].budget.turns == 200u);
  BOOST_TEST(p.tasks[0].budget.tokens == 2'000'000u);
  BOOST_TEST(p.tasks[0].budget.cost_usd == 0.5);
  BOOST_TEST(p.agents.at("a").prices->output == 15);
  const std::vector<std::string> settings{
      "limits.tokens=4M", "budget.cost_usd=10",     "attempts=30",
      "limits.soft=80m",  "checkpoint.interval=1m", "limits.wall=2h"};
  BOOST_TEST(run::apply_settings(p, settings).has_value());  // one after the other: soft < wall
  BOOST_TEST(p.tasks[0].budget.tokens == 4'000'000u);
  BOOST_TEST(p.tasks[0].budget.turns == 200u);
  BOOST_TEST(p.budget.cost_usd == 10);
  BOOST_TEST(p.budget.tokens == 5'000'000u);
  BOOST_TEST(p.tasks[0].limits.attempts == 30u);
  BOOST_TEST((p.tasks[0].limits.checkpoints.interval == 1min));
  BOOST_TEST((p.tasks[0].limits.wall == 2h));
  BOOST_TEST((p.tasks[0].limits.soft == 80min));
}

BOOST_AUTO_TEST_CASE(where_a_plan_says_nothing_of_soft_it_follows_the_wall_that_is_set) {
  run::plan p = with_limits("{wall: 30m}");
  BOOST_TEST((p.tasks[0].limits.soft == 2min));
  const std::vector<std::pair<std::string, std::chrono::milliseconds>> followed{
      {"50s", 10s}, {"1s", 200ms}, {"3h", 2min}};
  for (const auto& [wall, soft] : followed) {
    BOOST_TEST(run::apply_settings(p, std::vector{"limits.wall=" + wall}).has_value());
    BOOST_TEST((p.tasks[0].limits.soft == soft), wall);
  }
}

BOOST_AUTO_TEST_CASE(T3_a_setting_that_no_plan_could_have_is_refused) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"limits.tokens", "KEY=VALUE is expected"},
      {"=4M", "KEY=VALUE is expected"},
      {"limits.tokens=", "is not a count"},
      {"limits.tokens=0", "above zero"},
      {"limits.tokens=-1", "is not a count"},
      {"limits.tokens=99999999999999999999", "is too large"},
      {"limits.cost_usd=0", "above zero"},
      {"limits.cost_usd=inf", "is not an amount"},
      {"limits.cost_usd=1e3", "is not an amount"},
      {"limits.token=4M", "unknown key 'token'"},
      {"limits=4M", "must be a map"},
      {"limits.tokens.more=4M", "a single value is expected"},
      {"prompt=x", "unknown key 'prompt' in what may be set; known are budget, limits"},
      {"parallel=2", "unknown key 'parallel'"},
      {"budget.turns=3", "unknown key 'turns'"},
  };
  for (const auto& [setting, part] : wrong) {
    const std::string what = error_of_setting(setting);
    BOOST_TEST(what.starts_with("--set " + setting + ": "), what);
    BOOST_TEST(what.find(part) != std::string::npos, what);
  }
  BOOST_TEST(error_of_setting("limits.soft=1h") ==
             "--set: task 'one': soft must be shorter than wall");
}

BOOST_AUTO_TEST_SUITE_END()

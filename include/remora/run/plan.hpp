// The plan: what a run is asked to do, read from YAML and resolved (prompts read, defaults applied,
// everything checked). The resolved plan is the first record of the journal and part of the run's
// record: `resume` and `rerun` read that, never the file again. Pure but for `prompt_file`.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <remora/agent/adapter.hpp>
#include <remora/core/ids.hpp>
#include <remora/process/host.hpp>
#include <remora/supervise/task_machine.hpp>
#include <span>
#include <string>
#include <vector>

namespace remora::run {

/// A string in a plan is `sh -c`, a list is argv.
struct command_spec {
  std::vector<std::string> argv;
  std::chrono::milliseconds timeout{10 * 60'000};
  /// As a person wrote it.
  std::string shown() const;
};

/// What may be used up; zero: no end. Input that came from a cache is no token of it.
struct budget {
  std::uint64_t turns = 0;
  std::uint64_t tokens = 0;
  double cost_usd = 0;
};

enum class session_policy { automatic, native, fresh };
enum class keep_policy { failed, never, always };

struct task_plan {
  task_id id;
  std::string title;
  std::string prompt;
  std::string base;                  ///< commit-ish; empty: the plan's base
  std::optional<task_id> base_task;  ///< starts from that task's result
  std::vector<task_id> after;
  std::vector<std::string> agents;  ///< in order: the next one takes over where one cannot go on
  supervise::limits limits;
  run::budget budget{};  ///< over all attempts, those of earlier runs too where it is a rerun
  process::tree_limits tree{};  ///< `limits.memory`, `limits.processes`: of each of its children
  session_policy session = session_policy::automatic;
  std::optional<command_spec> verify;
  std::vector<std::string> include;
  bool branch = true;                               ///< `checkpoint.branch`
  std::uint64_t max_file_bytes = 100ull << 20;      ///< `checkpoint.max_file`
  std::uint64_t max_checkpoint_bytes = 1ull << 30;  ///< `checkpoint.max_total`
  std::uint64_t max_disk_bytes = 5ull << 30;        ///< `checkpoint.max_disk`
  bool brief = true;
};

struct workspace_plan {
  std::optional<std::vector<std::string>> copy;  ///< nothing: the lines of `.worktreeinclude`
  std::optional<command_spec> setup;
  keep_policy keep = keep_policy::failed;
  std::string dir;  ///< empty: below $XDG_STATE_HOME
};

struct plan {
  std::string name;
  std::filesystem::path repo;
  std::string base = "HEAD";
  std::uint32_t parallel = 4;
  run::budget budget{};  ///< of all tasks, once they have begun; it has no turns
  std::string rules;
  std::map<std::string, agent::agent_config> agents;
  workspace_plan workspace;
  std::uint64_t result_max_file_bytes = 10ull << 20;
  std::vector<task_plan> tasks;

  const task_plan* find(const task_id& id) const;
};

/// Reads and checks a plan. `file`: for messages, and relative paths are below its directory.
/// Errors: errc::usage, each `file:line:column: what is wrong; what to do`. Unknown keys, wrong
/// units, cycles, duplicate ids, an unknown agent and a plan without tasks are refused.
result<plan> parse_plan(std::string_view yaml, const std::filesystem::path& file);
result<plan> read_plan(const std::filesystem::path& file);

/// Each `KEY=VALUE`, as a plan has it: `limits.tokens=4M`, for all tasks, `budget.tokens`.
/// Errors: errc::usage; then `p` is half changed.
result<void> apply_settings(plan& p, std::span<const std::string> settings);

/// One task without a plan file: `remora run --agent NAME --prompt TEXT`. NAME is an adapter.
result<plan> ad_hoc_plan(const std::string& adapter, std::string prompt,
                         const std::filesystem::path& repo);

/// Order and existence of `after` and `base: {task}`; also after tasks were left out.
result<void> check_dependencies(const plan& p);

boost::json::object to_json(const plan& p);
result<plan> plan_from_json(const boost::json::object& o);
/// The plan in a `run_started` or in a run's record. Errors: errc::corrupt.
result<plan> recorded_plan(const boost::json::object& run);

}  // namespace remora::run

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <remora/core/text.hpp>
#include <remora/run/preview.hpp>

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// A prompt names so many and no more.
constexpr std::size_t dirty_paths_told = 20;

result<void> check_names(const git::repository& repo) {
  for (const char* name : {"remora", "remora-wip"}) {
    REMORA_TRY(const auto branch, repo.read_ref(fmt::format("refs/heads/{}", name)));
    if (branch)
      return fail(errc::repository, fmt::format("a branch named '{0}' is in the way of remora's "
                                                "branches '{0}/…'; rename it: git branch -m {0} "
                                                "other-name",
                                                name));
  }
  return {};
}

}  // namespace

fs::path find_program(const std::string& name, const fs::path& relative_to) {
  if (name.find('/') != name.npos) {
    const fs::path path = fs::path(name).is_absolute() ? fs::path(name) : relative_to / name;
    return ::access(path.c_str(), X_OK) == 0 ? path : fs::path();
  }
  const char* path = std::getenv("PATH");
  for (const std::string_view dir : split(path ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    const fs::path candidate = fs::path(dir) / name;
    if (::access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate)) return candidate;
  }
  return {};
}

result<fs::path> find_agent_program(const plan& p, const agent::agent_config& a) {
  REMORA_TRY(const agent::adapter* adapter, agent::find_adapter(a.adapter));
  const std::string program =
      a.command.empty() ? std::string(adapter->default_command()) : a.command.front();
  fs::path found = find_program(program, p.repo);
  if (found.empty())
    return fail(errc::environment,
                fmt::format("agent '{}': the program '{}' is not there or cannot be run; install "
                            "it, or set agents.{}.command",
                            a.name, program, a.name));
  return found;
}

result<run_preview> preview(const git::repository& repo, const plan& p) {
  run_preview view;
  REMORA_CHECK(check_names(repo));
  const bool dirty = p.base == checkout_as_base;
  const std::string base = dirty ? "HEAD" : p.base;
  for (const task_plan& t : p.tasks) {
    if (!t.base_task) {
      auto commit = repo.resolve_commit(t.base.empty() ? base : t.base);
      if (!commit) return within(fmt::format("task '{}'", t.id.str()), commit.error());
      view.bases[t.id.str()] = *commit;
    }
    for (const std::string& name : t.agents) {
      REMORA_TRY(view.programs[name], find_agent_program(p, p.agents.at(name)));
    }
  }
  if (repo.work_dir() && !dirty) {
    REMORA_TRY(view.dirty, repo.dirty_paths(dirty_paths_told));
  }
  return view;
}

}  // namespace remora::run

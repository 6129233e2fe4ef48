// What `run` would do, before it does it.
#pragma once

#include <filesystem>
#include <map>
#include <remora/git/repository.hpp>
#include <remora/run/plan.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// `plan::base`: the user's checkout as it is when the run begins.
inline constexpr std::string_view checkout_as_base = "worktree";

/// As text for `--dry-run` and the head of a run: bases resolved, agents found.
struct run_preview {
  std::map<std::string, git::oid> bases;  ///< task → commit; absent: the result of another task
  std::map<std::string, std::filesystem::path> programs;  ///< agent → its program
  std::vector<std::string> dirty;  ///< paths of the checkout that the base does not hold (some)
};
/// Errors: errc::usage (unknown base), errc::repository (unborn HEAD, a branch named `remora`),
/// errc::environment (an agent's program is not in PATH).
result<run_preview> preview(const git::repository& repo, const plan& p);

/// Errors: errc::environment (it is not there), errc::usage (no such adapter).
result<std::filesystem::path> find_agent_program(const plan& p, const agent::agent_config& a);

/// `name` as a shell would find it; one with a slash is below `relative_to` unless absolute. Empty:
/// not there.
std::filesystem::path find_program(const std::string& name,
                                   const std::filesystem::path& relative_to);

}  // namespace remora::run

// The environment of a child: an allow-list of ours, what its adapter and the plan name, and what
// remora tells it. No other GIT_*, no SSH_AUTH_SOCK, no token unless named (C10).
#pragma once

#include <map>
#include <remora/agent/adapter.hpp>
#include <string>
#include <utility>
#include <vector>

namespace remora::run {

using environment = std::vector<std::pair<std::string, std::string>>;

/// True if `name` matches `pattern`, which may begin or end with `*`.
bool matches(std::string_view name, std::string_view pattern);

/// The variables of `from` (by default this process's) that the base list and `extra` patterns let
/// through.
environment pass(const std::vector<std::string>& extra, char** from = nullptr);

/// The base list: of every agent, whatever its adapter and the plan name.
std::vector<std::string> passed_to_all();
/// What remora itself sets for an agent; a name may end in `*`.
std::vector<std::string> set_for_all();

/// Those that match one of `patterns`, and no others.
environment variables(const std::vector<std::string>& patterns, char** from = nullptr);

/// Sets or replaces.
void set(environment& env, std::string_view name, std::string_view value);

/// What makes an agent's git safe beside a checkpointing orchestrator: no automatic gc, everything
/// synced (measured: what an agent staged and committed was lost in a power cut), no prompt.
void add_git_settings(environment& env);

}  // namespace remora::run

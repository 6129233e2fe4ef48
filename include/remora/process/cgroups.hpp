// The control groups that hold agents: which limits can be enforced by them, and which of them are
// left. Blocking, short. Thread: any.
#pragma once

#include <filesystem>
#include <remora/process/host.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::process {

/// For each of the limits that is wanted and cannot be enforced on what this process starts: which,
/// why, and what to do. Makes a group and removes it, where it may.
std::vector<std::string> unenforceable_limits(const tree_limits& wanted);

/// Groups of agents whose name (`spawn_spec::name`) begins with `prefix`, beside those that this
/// process would make. Some may be in use. Cost: one look at each hierarchy.
std::vector<std::filesystem::path> find_agent_groups(std::string_view prefix);
/// False: it is gone already, somebody is in it, or it may not be removed.
bool remove_agent_group(const std::filesystem::path& group);

}  // namespace remora::process

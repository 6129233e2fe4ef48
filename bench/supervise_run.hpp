// What supervision costs in whole runs.
#pragma once

#include <filesystem>

namespace remora::bench {

/// How soon an attempt follows one whose verdict needs no wait, in the same worktree.
void measure_successors(const std::filesystem::path& remora, const std::filesystem::path& where);

/// What a run of so many agents takes that do nothing.
void measure_run_at_rest(const std::filesystem::path& remora, int agents,
                         const std::filesystem::path& where);

}  // namespace remora::bench

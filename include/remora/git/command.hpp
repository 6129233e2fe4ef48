// A child `git`, for what libgit2 cannot or must not do: the first checkout of a slot, worktree
// bookkeeping, anything over a network. Scrubbed environment, hooks, fsmonitor and prompts off,
// killed at its deadline. Blocks; thread: git pool, or main before the loop runs.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <remora/core/exit_status.hpp>
#include <remora/core/posix.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

struct command_output {
  exit_status status;
  std::string out;
  std::string err;  ///< the last 4 KiB

  /// A signal ended it, or the git that it had started: it did not fail for a reason of its own.
  bool killed() const;
  /// Why it failed: git's words, printable, and before them the signal that ended it.
  std::string why() const;
};

/// Runs `git` + `args` in `cwd`. A git that fails is not an error here. `held`: a lock that git
/// keeps with us: if we are killed, it is let go of when git has ended, and not before. `input`:
/// what it reads; null: nothing. `instead`: settings in place of what the configuration says.
/// Errors: errc::environment (no git), errc::timed_out, errc::stopped, errno.
result<command_output> run_git(const std::filesystem::path& cwd,
                               const std::vector<std::string>& args,
                               std::chrono::milliseconds deadline, std::stop_token stop = {},
                               const unique_fd* held = nullptr, const unique_fd* input = nullptr,
                               const std::map<std::string, std::string>& instead = {});

/// A file in memory with these bytes, as `input`. Errors: errno.
result<unique_fd> make_input(std::string_view bytes);

}  // namespace remora::git

// What a successor is told: one function for the attempt that gets the continuation and for
// `remora checkpoint prompt`, which shows it.
#pragma once

#include <remora/agent/prompt.hpp>
#include <remora/run/git_jobs.hpp>

namespace remora::run {

/// How much of a patch is read for a prompt; the prompt's own budget cuts it further.
inline constexpr std::size_t patch_in_prompt = 64u << 10;

struct continuation_request {
  const run_id& run;
  const plan& what;
  const task_plan& task;
  const agent::state& mind;
  std::uint32_t attempt = 2;  ///< the successor's number
  agent::outcome last;        ///< for a mind that does not say how its last attempt ended
  git::oid base;
  git::oid files;         ///< the newest checkpoint's files commit; zero: there is none
  std::string head_note;  ///< where HEAD is, when it is not on the task's branch
  std::optional<std::chrono::milliseconds> wall{};  ///< learnt, where that is shorter
  bool in_place = false;  ///< the successor works on in the worktree of its predecessor
  std::string fence;      ///< sixteen letters
};

/// `changes`: `files` against `base`; null where there is no checkpoint. Pure.
std::string continuation(const continuation_request& r, const task_changes* changes);

}  // namespace remora::run

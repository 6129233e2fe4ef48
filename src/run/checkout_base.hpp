// The user's checkout as a base (`base: worktree`).
#pragma once

#include <remora/run/git_jobs.hpp>
#include <remora/run/run_store.hpp>

namespace remora::run {

/// As `run_store::commit_checkout`.
result<checkout_base> commit_checkout(git_worker* worker, std::int64_t seconds);

}  // namespace remora::run

// What remora did not put where a ref of its own is, or what no other ref holds any more, is named
// below refs/remora/foreign/, where it stays until a person deletes it.
#pragma once

#include <remora/core/ids.hpp>
#include <remora/git/repository.hpp>
#include <string>

namespace remora::checkpoint {

/// refs/remora/foreign/<run>/<task>/
std::string foreign_refs(const run_id& run, const task_id& task);

/// Names `commit` so that it stays, `<prefix><12 digits>`, and returns that name. Idempotent.
/// Errors: as `swap_ref`; errc::ref_moved where the name is another commit's.
result<std::string> keep_aside(git::repository& repo, const std::string& prefix,
                               const git::oid& commit);

}  // namespace remora::checkpoint

// Whether every object of a checkpoint is there, with all its bytes.
#pragma once

#include <remora/checkpoint/record.hpp>

namespace remora::checkpoint {

/// Reads each object of `r` that is not at the same place in `before` (nothing: in the base). The
/// objects of a partial clone's base may be elsewhere; those are not ours to miss.
/// Errors: errno; damage is the answer false.
result<bool> is_complete(const git::repository& repo, const record& r,
                         const std::optional<record>& before);

/// Whether commit `tip`, and all that it reaches and `durable` does not, is in the database. Blobs
/// are looked up, not read. What a partial clone has not fetched is not missing. Errors: errno.
result<bool> is_present(const git::repository& repo, const git::oid& tip, const git::oid& durable);

/// As `is_present`, and every blob can be read.
result<bool> is_sound(const git::repository& repo, const git::oid& tip, const git::oid& durable);

/// The files of one commit, as `is_sound`.
result<bool> is_readable(const git::repository& repo, const git::oid& commit);

}  // namespace remora::checkpoint

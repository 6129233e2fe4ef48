// How large a blob is.
#pragma once

#include <cstdint>
#include <remora/git/repository.hpp>

namespace remora::git {

/// In bytes, without reading them all. Errors: errc::corrupt (it is missing or damaged), errno.
result<std::uint64_t> blob_size(const repository& repo, const oid& id);

}  // namespace remora::git

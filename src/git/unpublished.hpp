// How a repository reads what its writer has in the making: a backend of libgit2's object database.
#pragma once

#include <git2.h>

#include <memory>
#include <remora/core/result.hpp>

namespace remora::git {

class new_pack;

struct unpublished {
  const new_pack* pack = nullptr;  ///< nothing: the writer has written nothing since its barrier
};

/// From now on `odb` finds what is in `what->pack` too, and there first.
result<void> read_unpublished(git_odb* odb, std::shared_ptr<const unpublished> what);

}  // namespace remora::git

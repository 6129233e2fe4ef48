// Looking an object up while packs are merged.
#pragma once

#include <git2.h>

namespace remora::git {

/// libgit2 lists the packs once more where it finds nothing. Of a listing in which the new pack was
/// not there yet, the old one may be gone when it is opened: the next listing has it. It does not
/// where a loose object is found and damaged, as a power cut leaves what an agent's git wrote,
/// though a pack that it has not listed yet may hold a sound one.
template <class LookUp>
int look_twice(git_odb* objects, LookUp look_up) {
  const int got = look_up();
  if (got == 0) return got;
  if (got != GIT_ENOTFOUND && git_odb_refresh(objects) != 0) return got;
  return look_up();
}

}  // namespace remora::git

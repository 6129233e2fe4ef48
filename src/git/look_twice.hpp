// Looking an object up while packs are merged.
#pragma once

#include <git2.h>

namespace remora::git {

/// libgit2 lists the packs once more where it finds nothing. Of a listing in which the new pack was
/// not there yet, the old one may be gone when it is opened: the next listing has it.
template <class LookUp>
int look_twice(LookUp look_up) {
  const int got = look_up();
  return got == GIT_ENOTFOUND ? look_up() : got;
}

}  // namespace remora::git

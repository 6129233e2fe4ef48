// Errors of reading what a checkpoint names.
#pragma once

#include <remora/core/result.hpp>

namespace remora::checkpoint {

/// What a checkpoint names must be there and sound: whatever says that it is not, says
/// errc::corrupt. An errno (the disk cannot be read now) stays one, and so do the two verdicts that
/// are ours to give.
inline error damage(error e) {
  if (e.code.category() == remora_category() && !e.is(errc::unsupported) && !e.is(errc::foreign))
    e.code = make_error_code(errc::corrupt);
  return e;
}

}  // namespace remora::checkpoint

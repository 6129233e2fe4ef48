#pragma once

#include <remora/core/posix.hpp>

namespace remora::process {

/// A child that was just started, and what to wait for it on.
struct launched {
  int pid = -1;
  unique_fd pidfd;
};

}  // namespace remora::process

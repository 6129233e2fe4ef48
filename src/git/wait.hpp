// The only pause of this room: for a lock that another process holds and cannot signal.
#pragma once

#include <poll.h>

#include <chrono>

namespace remora::git {

inline void pause_for(std::chrono::milliseconds d) {
  ::poll(nullptr, 0, static_cast<int>(d.count()));
}

}  // namespace remora::git

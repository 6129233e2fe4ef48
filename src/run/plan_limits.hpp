// The limits that a plan leaves open. Private to the run room.
#pragma once

#include <remora/agent/adapter.hpp>
#include <remora/supervise/limits.hpp>

namespace remora::run {

/// Which of those whose default depends on others a plan has.
struct limits_said {
  bool idle = false, first_output = false, soft = false;
};
/// Where a plan does not say.
std::chrono::milliseconds usual_soft(std::chrono::milliseconds wall);
void fill_limits(supervise::limits& l, const limits_said& said, const agent::adapter& by);

}  // namespace remora::run

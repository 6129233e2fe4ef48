// The limits that a plan leaves open. Private to the run room.
#pragma once

#include <chrono>
#include <remora/run/plan.hpp>

namespace remora::run {

using std::chrono::milliseconds;

/// Which of those whose default depends on others a plan has.
struct limits_said {
  bool idle = false, first_output = false, soft = false;
};
/// Where a plan does not say.
milliseconds usual_soft(milliseconds wall);
/// All its agents are in the plan.
void fill_limits(task_plan& t, const limits_said& said, const plan& p);

}  // namespace remora::run

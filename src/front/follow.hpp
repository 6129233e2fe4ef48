// `remora log --follow`. Private to the front.
#pragma once

#include "front/transcript.hpp"

namespace remora::front {

/// Prints the attempts of a task (`o.attempt`: that one), those that are over and those to come, as
/// the agent goes on. Returns when the task (or that attempt) has ended, when nobody works on the
/// run, or when nobody reads any more. Blocks. Errors: errc::no_match (no such attempt came),
/// errno.
result<int> follow_log(session& s, const task_in_repository& t, const run::plan& plan,
                       const log_options& o);

}  // namespace remora::front

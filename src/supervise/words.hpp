// How the machine puts a verdict into words.
#pragma once

#include <remora/agent/verdict.hpp>
#include <string>

namespace remora::supervise {

/// `timed_out (wall)`.
std::string words_for(const agent::outcome& o);

}  // namespace remora::supervise

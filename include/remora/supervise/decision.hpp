// Why a task's machine did what it did, for whoever asks later (`remora show --why`).
#pragma once

#include <remora/supervise/facts.hpp>
#include <string>
#include <string_view>

namespace remora::supervise {

enum class phase {
  idle,
  preparing,
  asking,
  starting,
  running,
  freezing,
  grace,
  emptying,
  saving,
  verifying,
  publishing,
  waiting,
  finished
};
std::string_view name(phase p);
std::string_view name(const fact& f);

struct decision {
  std::string_view fact;  ///< its name
  phase from, to;
  std::string because;  ///< the deadline, verdict or count that it rests on; may be empty
};

}  // namespace remora::supervise

// What both prompts say in the same words.
#pragma once

#include <string>
#include <string_view>

namespace remora::agent {

/// The rules of the plan, under a heading; nothing where there are none.
std::string rules_part(std::string_view rules);

/// How an agent works here, as list items.
std::string brief_part();

}  // namespace remora::agent

// Glob patterns as git reads them (gitignore(5), "PATTERN FORMAT").
#pragma once

#include <string_view>

namespace remora::git {

/// `*` and `?` do not match `/`; `**` between slashes does. Polynomial: patterns come from agents.
bool wildmatch(std::string_view pattern, std::string_view text);

}  // namespace remora::git

// `rm -rf` that cannot be led elsewhere: by descriptors, never through a symbolic link.
#pragma once

#include <remora/core/result.hpp>
#include <string>

namespace remora::git {

/// Removes `name` in the directory `parent`, whatever it is. Absent already: success. Directories
/// without permissions are opened up first. Errors: errno, with the name that could not go.
result<void> remove_tree(int parent, const std::string& name);

}  // namespace remora::git

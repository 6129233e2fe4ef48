// The log of a ref. Git reads all of them when it collects garbage, and fails where one names a
// commit of which something is missing.
#pragma once

#include <remora/git/repository.hpp>
#include <string>

namespace remora::git {

/// Removes the log of `name`, a full ref name. Absent already: success. Errors: errno.
result<void> remove_ref_log(const repository& repo, const std::string& name);

}  // namespace remora::git

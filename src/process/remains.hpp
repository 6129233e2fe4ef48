// What the lock of an attempt says. Private to the process room.
#pragma once

#include <filesystem>
#include <remora/core/result.hpp>

namespace remora::process {

/// The shim saw that nobody of its tree was left, or was never started. Errors: errno.
result<bool> saw_its_end(const std::filesystem::path& attempt_dir);

}  // namespace remora::process

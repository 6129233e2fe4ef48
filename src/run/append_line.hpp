// Lines of several writers in one file. Private to the run room.
#pragma once

#include <filesystem>
#include <remora/core/result.hpp>
#include <string_view>

namespace remora::run {

/// Appends `text` and a newline by one write, so that lines of several writers do not tear, on a
/// line of its own. The file is made where it is not there. Not synced. Blocks. Errors: errno (a
/// full disk may leave a part of it there); errc::environment (it is no regular file).
result<void> append_line(const std::filesystem::path& file, std::string_view text);

}  // namespace remora::run

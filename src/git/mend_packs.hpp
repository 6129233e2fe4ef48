// Saving what can be read of a pack of ours that is damaged.
#pragma once

#include <filesystem>
#include <remora/core/result.hpp>
#include <string>

namespace remora::git {

/// What can be read of it goes into a new pack, which is durable before the old one goes: away
/// where nothing was lost, as when only its index was damaged, else to
/// `<common_dir>/remora/damaged`. Gives what was done, or nothing: it is sound. Errors: errno.
result<std::string> mend_pack(const std::filesystem::path& common_dir, const std::string& stem);

}  // namespace remora::git

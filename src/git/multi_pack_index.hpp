// Which packs a repository's multi-pack-index names (gitformat-pack(5)).
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace remora::git {

/// Names without `.idx`. Nothing where there is none, or one that cannot be read.
std::set<std::string> packs_in_multi_pack_index(const std::filesystem::path& directory);

}  // namespace remora::git

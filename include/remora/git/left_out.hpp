// What the reasons of a manifest mean for the path that they are given for.
#pragma once

#include <remora/git/manifest.hpp>

namespace remora::git {

/// One file is larger than a snapshot takes.
inline constexpr std::string_view too_large = "too large";
/// It did not fit into the snapshot beside the others.
inline constexpr std::string_view beyond_snapshot = "checkpoint too large";

/// The file is there, without them: nobody shall get by a restore what its owner did not give.
inline constexpr std::string_view special_bits = "its setuid or setgid bit";
/// The file is there, as it was at some moment or in parts as it was at several.
inline constexpr std::string_view torn = "changed while read";

/// A restore leaves the path as it finds it: the tree lacks it, or has it as it was before.
inline bool is_spared(std::string_view reason) {
  return reason != special_bits && reason != torn;
}

/// Its bytes are in no checkpoint: the worktree is the only place that has them, and stays.
inline bool is_nowhere_else(std::string_view reason) {
  return reason == unreadable || reason.ends_with(too_large);
}

}  // namespace remora::git

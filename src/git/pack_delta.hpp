// Objects as differences to others, in the form that packs hold (gitformat-pack(5), "Deltified
// representation").
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace remora::git {

/// What makes `target` of `base`: their common runs of at least 16 bytes are copied, the rest is
/// inserted. Of each at most 2^24 bytes. Cost: one look-up for a byte of `target`.
std::string make_delta(std::string_view base, std::string_view target);

/// Nothing where it is no delta to such a base.
std::optional<std::string> apply_delta(std::string_view base, std::string_view delta);

}  // namespace remora::git

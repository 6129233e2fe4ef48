// How wide a text is on a terminal. Private to the front.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace remora::front {

/// Wide characters (East Asian, emoji) take two columns, combining marks none.
std::size_t columns(std::string_view utf8);

/// In at least `width` columns.
std::string pad(std::string_view utf8, std::size_t width);

/// In at most `width` columns; where something was cut, the last one is `…`.
std::string fit(std::string_view utf8, std::size_t width);

}  // namespace remora::front

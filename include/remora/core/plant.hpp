// Bugs on purpose. The program `remora-planted` (CMake: REMORA_PLANTS) is remora with a few sources
// compiled so that $REMORA_PLANT leaves out one safeguard by name; the instrument that guards it
// must then fail (tests/torture). In every other program this is a constant, and no code.
#pragma once

#include <string_view>
#ifdef REMORA_PLANTS
#include <cstdlib>
#endif

namespace remora {

/// Whether the safeguard `name` is to be left out. Thread: any, while nobody changes the
/// environment.
#ifdef REMORA_PLANTS
inline bool planted(std::string_view name) {
  const char* wanted = std::getenv("REMORA_PLANT");
  return wanted != nullptr && name == wanted;
}
#else
constexpr bool planted(std::string_view /*name*/) {
  return false;
}
#endif

}  // namespace remora

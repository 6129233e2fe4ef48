# How everything of ours is compiled.
add_library(remora_options INTERFACE)
target_compile_options(remora_options INTERFACE -Wall -Wextra -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC PR 105651, mended in 13: false for "literal" + std::string when optimising.
  target_compile_options(remora_options INTERFACE -Wno-restrict)
endif()
if(REMORA_WERROR)
  target_compile_options(remora_options INTERFACE -Werror)
endif()

if(REMORA_SANITIZE)
  add_compile_options(-fsanitize=${REMORA_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${REMORA_SANITIZE})
  if(REMORA_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

find_program(REMORA_CCACHE ccache)
if(REMORA_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${REMORA_CCACHE})
endif()

# remora_room(NAME LINK …): the static library of include/remora/NAME and src/NAME.
function(remora_room name)
  cmake_parse_arguments(ROOM "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  add_library(remora_${name} STATIC ${sources})
  add_library(remora::${name} ALIAS remora_${name})
  target_include_directories(remora_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(remora_${name} PUBLIC ${ROOM_LINK} PRIVATE remora_options)
endfunction()

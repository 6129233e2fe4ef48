# What we stand on: Debian's packages (scripts/install-deps) or Conan's (conan/conanfile.py).
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json container filesystem)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(CLI11 REQUIRED)

find_package(libgit2 QUIET CONFIG)
add_library(remora_libgit2 INTERFACE)
add_library(remora::libgit2 ALIAS remora_libgit2)
if(TARGET libgit2::libgit2)
  target_link_libraries(remora_libgit2 INTERFACE libgit2::libgit2)
else()
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(LIBGIT2 REQUIRED IMPORTED_TARGET libgit2>=1.5.1)
  target_link_libraries(remora_libgit2 INTERFACE PkgConfig::LIBGIT2)
endif()

# Asio and Process are compiled once, in src/io/asio.cpp: their templates are the cost of a build.
add_library(remora_asio INTERFACE)
add_library(remora::asio ALIAS remora_asio)
target_link_libraries(remora_asio INTERFACE Boost::headers Boost::filesystem Threads::Threads)
target_compile_definitions(remora_asio INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_PROCESS_V2_SEPARATE_COMPILATION)

// A launcher for Boost.Process v2, by posix_spawn: the library's own leaks descriptors into the
// child, runs the parent's exit handlers there, and copies the page tables of a large parent (14 ms
// at 1 GB, against 57 µs). It takes the library's initializers that do their work in `on_setup`,
// such as `process_environment`; no code of ours runs in the child, so `on_exec_setup` is not
// called. What it starts is waited for on the pidfd alone: the library's wait and terminate block.
#pragma once

#include <spawn.h>

#include <boost/asio/detail/throw_error.hpp>  // the launcher of Boost 1.81 forgets it
#include <boost/filesystem/path.hpp>
#include <boost/process/v2/default_launcher.hpp>
#include <remora/core/posix.hpp>
#include <string>
#include <vector>

#include "process/launched.hpp"

namespace remora::process {

/// The child's descriptors, complete: `map[i]` becomes descriptor i; nothing else is inherited.
struct bind_descriptors {
  std::vector<int> map;
  template <class Launcher>
  boost::system::error_code on_setup(Launcher& launcher, const boost::filesystem::path&,
                                     const char* const*) {
    return launcher.bind(map);
  }
};

/// Starts in a session of its own, with default dispositions and an empty signal mask.
class session_launcher : public boost::process::v2::posix::default_launcher {
 public:
  session_launcher() { ::posix_spawn_file_actions_init(&actions_); }
  ~session_launcher() { ::posix_spawn_file_actions_destroy(&actions_); }
  session_launcher(const session_launcher&) = delete;
  session_launcher& operator=(const session_launcher&) = delete;

  /// Returns once the child's exec has succeeded. `arguments` follow the program's name.
  template <class... Inits>
  launched operator()(boost::system::error_code& failed, const boost::filesystem::path& executable,
                      const std::vector<std::string>& arguments, Inits&&... inits) {
    // The library passes over an initializer whose hook does not fit, a const one for example.
    static_assert(
        (requires(const char* const* argv) { inits.on_setup(*this, executable, argv); } && ...));
    namespace hooks = boost::process::v2::posix::detail;
    std::vector<const char*> storage{executable.c_str()};
    for (const std::string& argument : arguments) storage.push_back(argument.c_str());
    storage.push_back(nullptr);
    const char* const* argv = storage.data();
    launched child;
    failed = hooks::on_setup(*this, executable, argv, inits...);
    if (!failed) failed = spawn(executable.c_str(), argv, child);
    if (failed)
      hooks::on_error(*this, executable, argv, failed, inits...);
    else
      hooks::on_success(*this, executable, argv, inits...);
    return child;
  }

  boost::system::error_code bind(const std::vector<int>& map);

 private:
  boost::system::error_code spawn(const char* path, const char* const* argv, launched& child);

  posix_spawn_file_actions_t actions_;
  std::vector<unique_fd> moved_;
};

}  // namespace remora::process

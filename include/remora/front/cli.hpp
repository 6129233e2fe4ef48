// The command line: parses, opens a session, calls a command, prints its error.
#pragma once

#include <remora/core/result.hpp>
#include <remora/front/commands.hpp>

namespace remora::front {

/// The whole program but for the process's own set-up. Returns the exit status of docs/cli.md.
int cli(int argc, const char* const* argv, std::istream& in, std::ostream& out, std::ostream& err);

/// 2 usage, plan or selector; 4 repository or environment; 3 a run that can be resumed.
int exit_status(const error& e);

}  // namespace remora::front

// A command of the plan (setup, verify) under a shim of its own: the same tree ownership as an
// agent's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <remora/io/timers.hpp>
#include <remora/process/host.hpp>
#include <remora/run/plan.hpp>

namespace remora::run {

struct command_outcome {
  bool ok = false;
  bool timed_out = false;
  exit_status status;
  std::string output;    ///< the last 4 KiB of stdout and stderr together, printable
  process::emptied end;  ///< of its tree

  /// By somebody's signal.
  bool killed() const { return !timed_out && status.signal.has_value(); }
  /// `exited with 2`, `killed by SIGKILL`, `not finished within 10m`.
  std::string text(const command_spec& spec) const;
};

class command_runner {
 public:
  command_runner(process::host& host, io::timers& timers) : host_(host), timers_(timers) {}

  /// Runs it to its end and the end of its whole tree. Errors: those of `host::start`.
  boost::asio::awaitable<result<command_outcome>> run(command_spec command,
                                                      process::spawn_spec spec);
  /// Ends what runs, if anything does; what is being started ends at once, and nothing starts after
  /// it.
  void kill();

 private:
  process::host& host_;
  io::timers& timers_;
  process::child* running_ = nullptr;
  bool killed_ = false;
};

}  // namespace remora::run

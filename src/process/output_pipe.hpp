// One output of an agent: from its pipe into its file, and only then to who reads events.
// Thread: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "process/watched_fd.hpp"

namespace remora::process {

/// Bytes that were reported and not yet taken, of both outputs of one child.
struct output_budget {
  static constexpr std::size_t limit = std::size_t{1} << 20;
  std::size_t held = 0;
};

class output_pipe {
 public:
  struct callbacks {
    std::function<void(std::string)> bytes;  ///< they are in the file
    std::function<void()> ended;             ///< nobody can write any more
  };
  output_pipe(watched_fd pipe, unique_fd file, output_budget& budget, callbacks call);

  /// Reads from now on, as long as the budget lasts; to be called again when it grew.
  void pump();
  /// Reads what is in the pipe now, whatever the budget: at most the pipe's capacity.
  void drain();
  void close();
  bool ended() const noexcept { return !pipe_.open(); }
  /// What could not be written to the file (a full disk): it was reported all the same.
  std::uint64_t unsaved_bytes() const noexcept { return unsaved_; }

 private:
  std::size_t read_once();

  watched_fd pipe_;
  unique_fd file_;
  output_budget& budget_;
  callbacks call_;
  bool waiting_ = false;
  std::uint64_t unsaved_ = 0;
};

}  // namespace remora::process

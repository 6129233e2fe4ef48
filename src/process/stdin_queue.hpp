// What is still to be written to an agent's stdin. Thread: the loop's.
#pragma once

#include <string>

#include "process/watched_fd.hpp"

namespace remora::process {

class stdin_queue {
 public:
  /// SIGPIPE is ignored (prepare_this_process).
  explicit stdin_queue(watched_fd pipe) : pipe_(std::move(pipe)) {}
  /// Queues. Once nobody reads any more it does nothing.
  void write(std::string bytes);
  void close_when_written();
  void close();

 private:
  void flush();

  watched_fd pipe_;
  std::string pending_;
  std::size_t written_ = 0;  // of pending_
  bool waiting_ = false;
  bool closing_ = false;
};

}  // namespace remora::process

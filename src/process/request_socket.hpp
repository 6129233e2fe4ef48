// The orchestrator's end of an attempt's socket: who asks is checked, read and answered within
// bounds, so that nobody holds anything up. Thread: the loop's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <remora/io/deadline.hpp>
#include <remora/process/host.hpp>
#include <remora/process/requests.hpp>

#include "process/watched_fd.hpp"

namespace remora::process {

class request_socket {
 public:
  struct callbacks {
    /// Whether a process of our user may ask. Errors: it cannot be told.
    std::function<result<bool>(int pid)> admits;
    std::function<void(asked)> tell;
  };
  /// `listening`: of `listen_for_requests(path)`. `patience`: as `request_time`.
  request_socket(boost::asio::any_io_executor executor, unique_fd listening,
                 std::filesystem::path path, callbacks call,
                 std::chrono::milliseconds patience = request_time);
  /// Removes the socket; whoever still waits finds the connection closed.
  ~request_socket();
  request_socket(const request_socket&) = delete;
  request_socket& operator=(const request_socket&) = delete;

 private:
  struct connection;
  void watch();
  void accept_all();
  void admit(unique_fd fd);
  /// Why the peer may not ask; nothing: it may.
  std::string objection(int fd) const;

  boost::asio::any_io_executor executor_;
  watched_fd listening_;
  std::filesystem::path path_;
  callbacks call_;
  std::chrono::milliseconds patience_;
  std::list<std::shared_ptr<connection>> open_;
  io::deadline again_;  // where there was no descriptor for a connection
};

}  // namespace remora::process

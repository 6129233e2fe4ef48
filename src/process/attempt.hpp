// One started shim: its control, its pipes, and the order of what is reported about it.
// Thread: the loop's.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <remora/io/condition.hpp>
#include <remora/io/deadline.hpp>
#include <remora/io/inbox.hpp>
#include <remora/process/host.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "process/orphans.hpp"
#include "process/output_pipe.hpp"
#include "process/request_socket.hpp"
#include "process/stdin_queue.hpp"

namespace remora::process {

/// Our ends, made before the shim is launched.
struct attempt_ends {
  watched_fd control;
  watched_fd stdin_write;
  watched_fd out_read;
  watched_fd err_read;
  unique_fd out_file;
  unique_fd err_file;
  unique_fd requests;   ///< none: nobody may ask
  std::string unheard;  ///< or none could be made: why
};

/// What launch.hpp makes.
struct launched_attempt {
  int shim_pid = -1;
  watched_fd shim;
  attempt_ends ends;
  std::filesystem::path leaf;                 ///< of the cgroup, for the shim to make; empty: none
  std::vector<std::filesystem::path> groups;  ///< all that the shim makes, with the leaf
};

class attempt {
 public:
  /// `gone` is called once, last of all and not from the constructor: the shim is reaped, or let go
  /// of. It must not destroy the attempt before it returns to the loop.
  attempt(boost::asio::any_io_executor executor, const spawn_spec& spec, launched_attempt made,
          std::shared_ptr<orphanage> orphans, std::function<void(attempt&)> gone);
  attempt(const attempt&) = delete;
  attempt& operator=(const attempt&) = delete;

  /// Returns once the agent's exec has succeeded or failed, or the shim and all of its tree are
  /// gone.
  boost::asio::awaitable<result<void>> started();
  const identity& who() const noexcept { return who_; }

  void command(std::string text);
  void write_stdin(std::string bytes) { stdin_.write(std::move(bytes)); }
  void close_stdin() { stdin_.close_when_written(); }
  boost::asio::awaitable<child_event> next();
  result<child_use> use();
  bool limited() const noexcept { return limited_; }
  /// Nobody reads events any more: ends the tree, or leaves it to its shim where it cannot be
  /// ended.
  void abandon();

  void on_orphan_reaped(int pid, exit_status status);
  /// Goes on with the end of this attempt where orphans held it up. Where they could not be looked
  /// for, it waits until they can be.
  void settle();

 private:
  void listen(boost::asio::any_io_executor executor, const spawn_spec& spec, unique_fd socket);
  void watch_control();
  void read_control();
  void on_message(std::string_view text);
  void on_start_message(const std::vector<std::string_view>& words);
  void flush_commands();
  void watch_shim();
  void on_shim_end(exit_status status);
  void look_again();
  void let_go();
  void fail_start();
  void report(child_event event);
  void report_exit(exit_status status, bool out_of_memory = false);
  void on_output_end();
  void drain_pipes();
  void finish();

  std::string program_;
  std::filesystem::path cwd_;
  std::filesystem::path leaf_;                 // of the cgroup
  bool contained_ = false;                     // the agent is in it
  std::vector<std::filesystem::path> groups_;  // it, and those of limits: the shim removes them
  bool limited_ = true;
  std::uint64_t oom_kills_ = 0;
  std::uint64_t refused_forks_ = 0;
  identity who_;
  std::shared_ptr<orphanage> orphans_;
  std::function<void(attempt&)> gone_;

  int shim_pid_;
  watched_fd shim_;
  exit_status shim_status_;  // once it has ended
  watched_fd control_;
  std::deque<std::string> commands_;  // what the socket did not take yet
  output_budget budget_;
  output_pipe out_;
  output_pipe err_;
  stdin_queue stdin_;
  std::optional<request_socket> requests_;  // while the shim is not reaped: its number is its own
  io::inbox<child_event> events_;
  io::condition answered_;
  io::deadline drained_;     // a process outside of the tree may hold the pipes for ever
  io::deadline look_again_;  // where orphans could not be looked for
  io::deadline let_go_;      // of a shim that was asked to end and waits for the unkillable

  std::optional<result<void>> start_;
  bool agent_exited_ = false;
  bool said_empty_ = false;
  bool shim_ended_ = false;
  bool settled_ = false;  // nobody is left
  bool finished_ = false;
  bool abandoned_ = false;
};

}  // namespace remora::process

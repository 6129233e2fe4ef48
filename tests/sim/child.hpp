// The process host of a simulated machine.
#pragma once

#include <remora/io/inbox.hpp>
#include <remora/process/host.hpp>

#include "sim/world.hpp"

namespace remora::sim {

class virtual_child final : public process::child {
 public:
  virtual_child(world& w, const life& owner, virtual_process& p, boost::asio::any_io_executor loop);
  ~virtual_child() override;

  void report(process::child_event e);

  const process::identity& who() const noexcept override { return who_; }
  void freeze() override { freeze_tree(w_, p_); }
  void thaw() override { thaw_tree(w_, p_); }
  void signal(int signal) override { ask_to_exit(w_, p_, signal); }
  void kill() override { kill_tree(w_, p_); }
  void write_stdin(std::string) override {}
  void close_stdin() override {}
  boost::asio::awaitable<process::child_event> next() override { return events_.next(); }
  result<process::child_use> use() override { return process::child_use(); }

 private:
  world& w_;
  const life& owner_;
  virtual_process& p_;
  process::identity who_;
  io::inbox<process::child_event> events_;
};

class virtual_host final : public process::host {
 public:
  virtual_host(world& w, life& owner) : w_(w), owner_(owner) {}
  boost::asio::awaitable<result<std::unique_ptr<process::child>>> start(
      process::spawn_spec spec) override;
  /// The orchestrator's program waits for it; here that is the scenario's to do.
  boost::asio::awaitable<void> join() override;

 private:
  world& w_;
  life& owner_;
};

}  // namespace remora::sim

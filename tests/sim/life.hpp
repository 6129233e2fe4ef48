// One orchestrator: an engine on the seams of a simulated machine, from its start to its end or to
// a crash.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <remora/run/engine.hpp>

#include "sim/child.hpp"
#include "sim/run_store.hpp"
#include "sim/world.hpp"

namespace remora::sim {

class virtual_timers final : public io::timers {
 public:
  virtual_timers(world& w, const life& owner) : w_(w), owner_(owner) {}
  time_point now() const override { return w_.time.now(); }
  duration suspended() const override { return w_.time.suspended(); }
  std::unique_ptr<io::timer> make() override;

 private:
  world& w_;
  const life& owner_;
};

/// What all lives know of accounts.
class virtual_pauses final : public run::shared_pauses {
 public:
  explicit virtual_pauses(world& w) : w_(w) {}
  std::optional<all> read() override;
  result<void> set(const std::string& account, const supervise::pause& p) override;
  void remove(const std::string& account) override { w_.pauses.erase(account); }

 private:
  world& w_;
};

class life {
 public:
  explicit life(world& w);
  /// A crash, where it had not ended: nothing of it happens any more.
  ~life();
  life(const life&) = delete;
  life& operator=(const life&) = delete;

  void run();
  void resume();
  /// Ctrl-C.
  void interrupt() { engine_->interrupt(); }
  /// One step of its loop; false: it waits.
  bool step();
  bool has_ended() const { return ended_; }
  /// What escaped from the engine: a bug was injected, or found.
  std::exception_ptr exception() const { return failed_; }
  const result<run::run_summary>& outcome() const { return *outcome_; }

  boost::asio::any_io_executor executor() { return loop_.get_executor(); }
  /// Returns after `d`, not given up before (`io::run_on` is not either).
  boost::asio::awaitable<void> pass(duration d);

  bool stopped = false;  ///< by SIGSTOP
  bool faulted = false;  ///< something was made to go wrong in it
  bool throws = false;   ///< a bug was injected
  bool crashed() const { return crashed_; }

 private:
  boost::asio::awaitable<void> drive(bool anew);
  void start(bool anew);

  world& w_;
  virtual_timers timers_;
  virtual_host host_;
  virtual_run_store store_;
  virtual_pauses pauses_;
  boost::asio::io_context loop_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};  ///< one thread plays a seed
  std::optional<run::engine> engine_;
  std::optional<result<run::run_summary>> outcome_;
  std::exception_ptr failed_;
  bool ended_ = false, crashed_ = false;
};

}  // namespace remora::sim

// The accounts of one run: asks the pure `supervise::accounts`, with what other runs have learnt,
// and calls whoever waits once that is decided. Private to the run room. Thread: the loop's.
#pragma once

#include <functional>
#include <map>
#include <remora/core/ids.hpp>
#include <remora/io/deadline.hpp>
#include <remora/run/pauses.hpp>
#include <string>
#include <vector>

namespace remora::run {

class account_book {
 public:
  struct request {
    std::size_t task;                   ///< its index
    std::vector<std::string> accounts;  ///< in the order of its agents
    supervise::milliseconds longest;    ///< that it waits
  };
  struct reply {
    std::optional<std::size_t> which;    ///< of the accounts; nothing: closed
    std::string account;                 ///< that is closed
    std::optional<supervise::pause> of;  ///< it
  };
  /// Of one that is paused, or open again (nothing).
  using told = std::function<void(const std::string& account, const supervise::pause*)>;

  struct hooks {
    told tell;
    std::function<void()> changed;           ///< who was told to wait by `ask` may ask again
    std::function<void(std::size_t)> leave;  ///< a task waits, and needs no place
    std::function<bool(std::size_t)> enter;  ///< it needs one again; false: there is none
  };
  account_book(clock& time, io::timers& timers, shared_pauses& shared, hooks on);

  /// Nothing: not now; `changed` says when.
  std::optional<reply> ask(const request& r);
  /// Calls back once: now, or (true) later. The task's last request is withdrawn.
  bool wait(request r, std::function<void(const reply&)> then);
  void withdraw(std::size_t task) { waiting_.erase(task); }
  /// Nobody is called any more.
  void rest() { wake_.set(std::nullopt); }
  /// Calls back whose wait is decided: time has passed, or a place is free.
  void look_again();

  void failed(const std::string& account, const agent::outcome& why);
  void turn_through(const std::string& account, std::size_t task);
  void ended(std::size_t task);

  /// Accounts of which somebody was told that they are closed.
  const std::map<std::string, supervise::pause>& closed() const noexcept { return closed_; }

 private:
  struct waiter {
    request what;
    std::function<void(const reply&)> then;
  };

  void learn(bool now);
  void call_at(wall_time t);

  clock& time_;
  shared_pauses& shared_;
  hooks on_;
  wall_time began_;
  std::optional<time_point> learnt_;
  supervise::accounts accounts_;
  std::map<std::string, supervise::pause> untold_;  ///< ours, which others could not be told
  std::map<std::string, supervise::pause> closed_;
  std::map<std::size_t, waiter> waiting_;
  io::deadline wake_;
};

/// What a person reads, and is to do.
std::string words_for(const std::string& account, const supervise::pause& p, const run_id& run);

}  // namespace remora::run

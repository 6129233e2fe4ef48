// Runs a coroutine to its end on a loop of its own, with a deadline for the whole of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>

namespace remora::testing {

/// Rethrows what escapes `work`. A test that hangs fails after two minutes instead.
inline void run(boost::asio::io_context& loop, boost::asio::awaitable<void> work) {
  struct end {
    bool reached = false;
    std::exception_ptr failed;
  };
  const auto e = std::make_shared<end>();  // one that came too late is told in a later run
  boost::asio::co_spawn(loop, std::move(work),
                        [e](std::exception_ptr failed) { *e = {true, failed}; });
  loop.restart();  // an earlier run may have ended for want of work
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!e->reached && loop.run_one_until(until) != 0) continue;
  if (e->failed) std::rethrow_exception(e->failed);
  if (!e->reached) throw std::runtime_error("the coroutine did not end within two minutes");
}

}  // namespace remora::testing

// Runs a coroutine to its end on a loop of its own, with a deadline for the whole of it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <stdexcept>

namespace remora::testing {

/// Rethrows what escapes `work`. A test that hangs fails after a minute instead.
inline void run(boost::asio::io_context& loop, boost::asio::awaitable<void> work) {
  bool done = false;
  std::exception_ptr failed;
  boost::asio::co_spawn(loop, std::move(work), [&](std::exception_ptr e) {
    done = true;
    failed = e;
  });
  loop.restart();  // an earlier run may have ended for want of work
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!done && loop.run_one_until(until) != 0) continue;
  if (failed) std::rethrow_exception(failed);
  if (!done) throw std::runtime_error("the coroutine did not end within a minute");
}

}  // namespace remora::testing

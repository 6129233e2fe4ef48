// A wait of a coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <remora/io/timers.hpp>

namespace remora::io {

/// Returns after `d` on the clock of `source`. Cancellation: throws `operation_aborted`.
boost::asio::awaitable<void> pause(timers& source, duration d);

}  // namespace remora::io

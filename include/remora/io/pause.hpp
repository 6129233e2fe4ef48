// A wait of a coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <remora/core/clock.hpp>

namespace remora::io {

/// Returns after `d` on the monotonic clock. Cancellation: throws `operation_aborted`.
boost::asio::awaitable<void> pause(duration d);

}  // namespace remora::io

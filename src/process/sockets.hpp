// What the connections of processes have carried (sock_diag(7)). Blocking, short. Thread: any.
#pragma once

#include <cstdint>
#include <span>

namespace remora::process {

/// Bytes got and sent so far by the TCP connections that these processes have open, in our network
/// namespace; zero where that cannot be told.
std::uint64_t tcp_bytes(std::span<const int> pids);

}  // namespace remora::process

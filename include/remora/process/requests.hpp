// The socket by which an agent asks the orchestrator that started it (docs/agents.md): a connection
// a request, one line there and one line back. What the lines say is not this room's to know, but
// for `{"error": …}`, by which a request is refused that never got through.
#pragma once

#include <chrono>
#include <filesystem>
#include <remora/core/posix.hpp>
#include <string>
#include <string_view>

namespace remora::process {

constexpr std::size_t longest_request = std::size_t{1} << 20;
/// Of one attempt, at a time; whoever comes beyond is refused.
constexpr std::size_t most_requests = 64;
/// To say a request, and to take its answer.
constexpr std::chrono::seconds request_time{10};

/// A socket that listens at `path`, of any length, mode 0600; one of an earlier life is replaced.
/// Errors: errno.
result<unique_fd> listen_for_requests(const std::filesystem::path& path);

/// `{"error": why}`.
std::string refusal(std::string_view why);

/// Asks: says `request`, one line, and returns the answer without its newline. Blocks, for at most
/// `limit`. Thread: any. Errors: errc::environment (nobody is there, or went away),
/// errc::timed_out.
result<std::string> send_request(const std::filesystem::path& path, std::string_view request,
                                 std::chrono::milliseconds limit);

}  // namespace remora::process

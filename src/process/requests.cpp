#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <remora/core/clock.hpp>
#include <remora/core/text.hpp>
#include <remora/process/requests.hpp>

namespace remora::process {

namespace {

/// A socket's address holds 107 bytes, and a run's directory may be deeper: then it is named by way
/// of its directory, opened, in /proc.
struct address {
  sockaddr_un name{};
  unique_fd directory;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

result<address> address_of(const std::filesystem::path& path) {
  address a;
  a.name.sun_family = AF_UNIX;
  std::string text = path.string();
  if (text.size() >= sizeof a.name.sun_path) {
    REMORA_TRY(a.directory, open_file(path.parent_path(), O_PATH | O_DIRECTORY));
    text = fmt::format("/proc/self/fd/{}/{}", a.directory.get(), path.filename().string());
  }
  if (text.size() >= sizeof a.name.sun_path)
    return os_error(ENAMETOOLONG, to_utf8(path.filename().string()));
  text.copy(a.name.sun_path, text.size());
  return a;
}

/// Until `fd` is ready. Errors: errc::timed_out.
result<void> wait_for(int fd, short events, time_point until) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - machine_clock().now()).count();
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return os_error(errno, "cannot wait for an answer");
    if (n == 0) return fail(errc::timed_out, "no answer in time: the orchestrator may be stopped");
  }
}

error nobody(const std::filesystem::path& path, int why) {
  return fail(errc::environment,
              os_error(why, fmt::format("nobody answers at {}: the orchestrator has ended, or the "
                                        "attempt has",
                                        to_utf8(path.string())))
                  .what);
}

/// Errors: but for time and patience none: a refusal may come, and end the connection, before all
/// of it is said.
result<void> say(int fd, std::string_view text, time_point until) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      REMORA_CHECK(wait_for(fd, POLLOUT, until));
    } else if (errno != EINTR) {
      return {};
    }
  }
  return {};
}

result<std::string> hear(int fd, time_point until) {
  std::string answer;
  while (answer.find('\n') == std::string::npos) {
    REMORA_CHECK(wait_for(fd, POLLIN, until));
    char bytes[4096];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0)
      return fail(errc::environment,
                  "the attempt ended before it was answered, or its orchestrator did");
    answer.append(bytes, static_cast<std::size_t>(n));
  }
  return answer.substr(0, answer.find('\n'));
}

}  // namespace

result<unique_fd> listen_for_requests(const std::filesystem::path& path) {
  REMORA_TRY(const address at, address_of(path));
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return os_error(errno, "cannot make a socket");
  ::unlink(path.c_str());
  // Before it has a name: the name gets the socket's mode.
  if (::fchmod(fd.get(), 0600) != 0 || ::bind(fd.get(), at.get(), sizeof at.name) != 0 ||
      ::listen(fd.get(), 2 * most_requests) != 0)
    return os_error(errno, fmt::format("cannot listen at {}", to_utf8(path.string())));
  return fd;
}

std::string refusal(std::string_view why) {
  return boost::json::serialize(boost::json::object{{"error", to_utf8(why)}});
}

result<std::string> send_request(const std::filesystem::path& path, std::string_view request,
                                 std::chrono::milliseconds limit) {
  const time_point until = machine_clock().now() + limit;
  const auto at = address_of(path);
  if (!at) return fail(errc::environment, at.error().what);
  const unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return os_error(errno, "cannot make a socket");
  // Of a stopped orchestrator, whose queue is full, it would never return.
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(limit).count();
  const timeval patience{.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  while (::connect(fd.get(), at->get(), sizeof at->name) != 0) {
    if (errno == EAGAIN) return fail(errc::timed_out, "the orchestrator is stopped, or too busy");
    if (errno != EINTR) return nobody(path, errno);
  }
  REMORA_CHECK(say(fd.get(), std::string(request) + '\n', until));
  return hear(fd.get(), until);
}

}  // namespace remora::process

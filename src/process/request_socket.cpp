#include "process/request_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/clock.hpp>
#include <utility>

namespace remora::process {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace

struct request_socket::connection : std::enable_shared_from_this<connection> {
  connection(request_socket& of, unique_fd fd)
      : owner(of), peer(of.executor_, std::move(fd)), late(of.executor_, [this] { on_late(); }) {
    late.set(machine_clock().now() + owner.patience_);
  }

  void watch() {
    peer.when_readable([this] {
      const auto self = shared_from_this();
      read();
      if (!answered && !heard && peer.open()) watch();
    });
  }

  /// A line, or all that there is where the peer sends no more.
  void read() {
    for (;;) {
      char bytes[16384];
      const ssize_t n = ::recv(peer.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0 || (n == 0 && request.empty())) return close();
      const std::size_t before = request.size();
      request.append(bytes, static_cast<std::size_t>(n));
      const std::size_t end = request.find('\n', before);
      if (std::min(end, request.size()) > longest_request)
        return refuse(fmt::format("a request has at most {} bytes", longest_request));
      if (n > 0 && end == std::string::npos) continue;
      request.resize(std::min(end, request.size()));
      return ask();
    }
  }

  void ask() {
    heard = true;
    late.set(std::nullopt);  // how long its answer takes is not the peer's doing
    auto answer = [weak = weak_from_this()](std::string line) {
      if (const auto self = weak.lock()) self->answer(std::move(line));
    };
    owner.call_.tell(asked{std::move(request), std::move(answer)});
  }

  void refuse(std::string_view why) { answer(refusal(why)); }

  void answer(std::string line) {
    if (std::exchange(answered, true)) return;
    reply = std::move(line) + '\n';
    late.set(machine_clock().now() + owner.patience_);
    write();
  }

  void write() {
    while (sent < reply.size()) {
      const ssize_t n =
          ::send(peer.get(), reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN)
        return peer.when_writable([this] {
          const auto self = shared_from_this();
          write();
        });
      if (n < 0 && errno != EINTR) break;
      if (n > 0) sent += static_cast<std::size_t>(n);
    }
    close();
  }

  void on_late() {
    const auto self = shared_from_this();
    if (answered) return close();
    refuse(fmt::format("no whole line within {} ms", owner.patience_.count()));
  }

  void close() {
    peer.close();
    late.set(std::nullopt);
    owner.open_.remove(shared_from_this());
  }

  request_socket& owner;
  watched_fd peer;
  io::deadline late;
  std::string request, reply;
  std::size_t sent = 0;
  bool heard = false, answered = false;
};

request_socket::request_socket(asio::any_io_executor executor, unique_fd listening,
                               std::filesystem::path path, callbacks call,
                               std::chrono::milliseconds patience)
    : executor_(executor),
      listening_(executor, std::move(listening)),
      path_(std::move(path)),
      call_(std::move(call)),
      patience_(patience),
      again_(executor, [this] { accept_all(); }) {
  watch();
}

request_socket::~request_socket() {
  ::unlink(path_.c_str());
}

void request_socket::watch() {
  listening_.when_readable([this] { accept_all(); });
}

/// All that wait, or so many that others of the loop have their turn.
void request_socket::accept_all() {
  for (std::size_t i = 0; i < most_requests; ++i) {
    unique_fd fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      admit(std::move(fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return watch();
    return again_.set(machine_clock().now() + accept_pause);
  }
  watch();
}

void request_socket::admit(unique_fd fd) {
  std::string why = objection(fd.get());
  if (why.empty() && open_.size() >= most_requests)
    why = fmt::format("{} requests of this attempt are open: one after another", most_requests);
  if (!why.empty()) {  // a new connection has room for so much
    const std::string line = refusal(why) + '\n';
    (void)::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  open_.push_back(std::make_shared<connection>(*this, std::move(fd)));
  open_.back()->watch();
}

std::string request_socket::objection(int fd) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "who asks is not known";
  if (peer.uid != ::geteuid())
    return fmt::format("user {} may not ask: the agent is user {}'s", peer.uid, ::geteuid());
  const auto admitted = call_.admits(peer.pid);
  if (!admitted) return fmt::format("process {} is not known: {}", peer.pid, admitted.error().what);
  if (!*admitted)
    return fmt::format(
        "process {} is not of this attempt: only its agent, and what that started, "
        "may ask",
        peer.pid);
  return {};
}

}  // namespace remora::process

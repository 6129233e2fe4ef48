// What connections have carried (P14): asked of the kernel, of this very process.
#include "process/sockets.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <remora/core/posix.hpp>
#include <string>

using namespace remora;

namespace {

/// Two ends on loopback.
struct connection {
  explicit connection(int family) {
    sockaddr_in6 six{};
    sockaddr_in four{};
    six.sin6_family = AF_INET6;
    six.sin6_addr = in6addr_loopback;
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* at =
        family == AF_INET6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    const unique_fd listening(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    client.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listening.get(), at, size) != 0 || ::listen(listening.get(), 1) != 0 ||
        ::getsockname(listening.get(), at, &size) != 0 || ::connect(client.get(), at, size) != 0)
      return;
    server.reset(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  void carry(const std::string& bytes) const {
    BOOST_REQUIRE(write_all(client.get(), bytes).has_value());
    std::string got(bytes.size(), '\0');
    BOOST_REQUIRE(::recv(server.get(), got.data(), got.size(), MSG_WAITALL) ==
                  static_cast<ssize_t>(bytes.size()));
  }
  unique_fd client, server;
};

std::uint64_t ours() {
  return process::tcp_bytes(std::array{::getpid()});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sockets)

BOOST_AUTO_TEST_CASE(P14_what_a_connection_has_carried_is_told) {
  for (const int family : {AF_INET, AF_INET6}) {
    const connection c(family);
    if (!c.server && family == AF_INET6) continue;  // none on this machine
    BOOST_REQUIRE(c.server);
    const std::uint64_t before = ours();
    BOOST_TEST(ours() == before);
    c.carry(std::string(1000, 'x'));
    BOOST_TEST(ours() == before + 2000);  // both ends are ours
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_told_of_others_and_of_who_is_gone) {
  const connection c(AF_INET);
  c.carry("x");
  BOOST_TEST(process::tcp_bytes({}) == 0u);
  BOOST_TEST(process::tcp_bytes(std::array{0x7ffffff0}) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

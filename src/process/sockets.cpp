#include "process/sockets.hpp"

#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <remora/core/posix.hpp>
#include <set>
#include <string_view>

namespace remora::process {
namespace {

namespace fs = std::filesystem;

using inode_set = std::set<std::uint32_t>;
using bytes_view = std::span<const std::byte>;

void add_sockets_of(int pid, inode_set& inodes) {
  constexpr std::string_view prefix = "socket:[";
  std::error_code failed;
  fs::directory_iterator open(fmt::format("/proc/{}/fd", pid), failed);
  for (; !failed && open != fs::directory_iterator(); open.increment(failed)) {
    std::error_code closed;
    const std::string target = fs::read_symlink(open->path(), closed).string();
    if (closed || !target.starts_with(prefix)) continue;
    std::uint32_t inode = 0;
    std::from_chars(target.data() + prefix.size(), target.data() + target.size(), inode);
    inodes.insert(inode);
  }
}

/// The head of what `from` begins with; nothing if it is too short.
template <class Head>
std::optional<Head> head_of(bytes_view from) {
  if (from.size() < sizeof(Head)) return std::nullopt;
  Head head;
  std::memcpy(&head, from.data(), sizeof head);
  return head;
}

/// Netlink's messages and attributes begin at multiples of four.
bytes_view behind(bytes_view from, std::size_t size) {
  return from.subspan(std::min(from.size(), (size + 3) & ~std::size_t{3}));
}

std::uint64_t carried(bytes_view info) {
  struct tcp_info tcp{};  // a kernel may have fewer fields, or more
  std::memcpy(&tcp, info.data(), std::min(info.size(), sizeof tcp));
  return tcp.tcpi_bytes_received + tcp.tcpi_bytes_sent;
}

std::uint64_t carried_by(bytes_view message, const inode_set& inodes) {
  const auto head = head_of<inet_diag_msg>(message);
  if (!head || !inodes.contains(head->idiag_inode)) return 0;
  for (bytes_view rest = behind(message, sizeof *head);;) {
    const auto attribute = head_of<rtattr>(rest);
    if (!attribute || attribute->rta_len < sizeof *attribute || attribute->rta_len > rest.size())
      return 0;
    if (attribute->rta_type == INET_DIAG_INFO)
      return carried(rest.subspan(sizeof *attribute, attribute->rta_len - sizeof *attribute));
    rest = behind(rest, attribute->rta_len);
  }
}

bool ask(int netlink, std::uint8_t family) {
  struct {
    nlmsghdr head;
    inet_diag_req_v2 body;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  request.body.idiag_states = ~std::uint32_t{0};
  return ::send(netlink, &request, sizeof request, 0) == sizeof request;
}

/// Of one family; the kernel has its answer ready when it is asked.
std::uint64_t carried_by_all(int netlink, const inode_set& inodes) {
  std::array<std::byte, 32 << 10> buffer;
  std::uint64_t sum = 0;
  for (;;) {
    const ssize_t got = ::recv(netlink, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) return sum;
    for (bytes_view rest(buffer.data(), static_cast<std::size_t>(got));;) {
      const auto head = head_of<nlmsghdr>(rest);
      if (!head || head->nlmsg_len < sizeof *head || head->nlmsg_len > rest.size()) break;
      if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY) return sum;  // NLMSG_DONE, NLMSG_ERROR
      sum += carried_by(rest.subspan(sizeof *head, head->nlmsg_len - sizeof *head), inodes);
      rest = behind(rest, head->nlmsg_len);
    }
  }
}

}  // namespace

std::uint64_t tcp_bytes(std::span<const int> pids) {
  inode_set inodes;
  for (const int pid : pids) add_sockets_of(pid, inodes);
  if (inodes.empty()) return 0;
  const unique_fd netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return 0;
  std::uint64_t sum = 0;
  for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}})
    if (ask(netlink.get(), family)) sum += carried_by_all(netlink.get(), inodes);
  return sum;
}

}  // namespace remora::process

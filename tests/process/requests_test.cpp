// What an agent asks of the orchestrator: who may, and how long and how much.
#include <remora/process/requests.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "process/request_socket.hpp"
#include "world.hpp"

using namespace remora;
using namespace remora::testing;
using namespace std::chrono_literals;

namespace {

/// A socket of our own, that lets everybody in and keeps what it is asked.
struct service {
  explicit service(bool admits = true, std::chrono::milliseconds patience = 60s)
      : path(w.root / "socket") {
    open(admits, patience);
  }
  void open(bool admits, std::chrono::milliseconds patience) {
    auto listening = process::listen_for_requests(path);
    BOOST_REQUIRE(listening.has_value());
    socket.emplace(w.loop.get_executor(), std::move(*listening), path,
                   process::request_socket::callbacks{
                       .admits = [admits](int) { return result<bool>(admits); },
                       .tell = [this](process::asked a) { heard.push_back(std::move(a)); }},
                   patience);
  }
  unique_fd connect() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.string().copy(name.sun_path, sizeof name.sun_path - 1);
    unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    BOOST_REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
    return fd;
  }
  unique_fd say(std::string_view text) const {
    unique_fd fd = connect();
    BOOST_REQUIRE(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(text.size()));
    return fd;
  }
  void turn() {
    w.loop.restart();
    w.loop.run_one_for(10ms);
  }
  template <class Condition>
  void turn_until(Condition reached) {
    const auto until = std::chrono::steady_clock::now() + 60s;
    bool is = reached();
    for (; !is && std::chrono::steady_clock::now() < until; is = reached()) turn();
    BOOST_REQUIRE(is);
  }
  void turn_until_heard(std::size_t n) {
    turn_until([&] { return heard.size() >= n; });
  }
  /// All that it is sent until the connection is closed.
  std::string hear(const unique_fd& fd) {
    std::string text;
    turn_until([&] {
      char bytes[4096];
      ssize_t n = 0;
      while ((n = ::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        text.append(bytes, static_cast<std::size_t>(n));
      return n == 0 || (n < 0 && errno != EAGAIN);
    });
    return text;
  }

  world w;
  std::filesystem::path path;
  std::vector<process::asked> heard;
  std::optional<process::request_socket> socket;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(requests)

BOOST_AUTO_TEST_CASE(a_line_is_answered_by_a_line) {
  service s;
  const unique_fd client = s.say("what is left?\n");
  s.turn_until_heard(1);
  BOOST_TEST(s.heard[0].request == "what is left?");
  s.heard[0].answer("much");
  s.heard[0].answer("again");
  BOOST_TEST(s.hear(client) == "much\n");
}

BOOST_AUTO_TEST_CASE(who_says_no_more_has_said_it) {
  service s;
  const unique_fd client = s.say("left");
  s.turn();
  BOOST_TEST(s.heard.empty());
  ::shutdown(client.get(), SHUT_WR);
  s.turn_until_heard(1);
  BOOST_TEST(s.heard[0].request == "left");
}

BOOST_AUTO_TEST_CASE(an_answer_of_any_size_arrives) {
  service s;
  const unique_fd client = s.say("all\n");
  s.turn_until_heard(1);
  s.heard[0].answer(std::string(3u << 20, 'x'));
  BOOST_TEST(s.hear(client).size() == (3u << 20) + 1);
}

BOOST_AUTO_TEST_CASE(a_request_without_end_is_refused) {
  service s;
  const unique_fd client = s.connect();
  const std::string block(64 << 10, 'x');
  const auto refused = [&] {
    const ssize_t n = ::send(client.get(), block.data(), block.size(), MSG_NOSIGNAL);
    s.turn();
    return n < 0 && errno != EAGAIN;
  };
  for (int i = 0; i < 10'000 && !refused(); ++i) continue;
  BOOST_TEST(s.hear(client) == R"({"error":"a request has at most 1048576 bytes"})"
                               "\n");
  BOOST_TEST(s.heard.empty());
}

BOOST_AUTO_TEST_CASE(the_longest_request_is_none_too_many) {
  service s;
  std::thread client([path = s.path] {
    (void)process::send_request(path, std::string(process::longest_request, 'x'), 60s);
  });
  s.turn_until_heard(1);
  BOOST_TEST(s.heard[0].request.size() == process::longest_request);
  s.heard[0].answer("{}");
  s.turn();
  client.join();
}

BOOST_AUTO_TEST_CASE(who_says_nothing_is_waited_for_within_bounds) {
  service s(true, 10ms);
  const unique_fd silent = s.connect();
  BOOST_TEST(s.hear(silent) == R"({"error":"no whole line within 10 ms"})"
                               "\n");
}

BOOST_AUTO_TEST_CASE(who_goes_before_the_answer_costs_nothing) {
  service s;
  s.say("left\n").reset();
  s.connect().reset();
  s.turn_until_heard(1);
  s.heard[0].answer(std::string(1u << 20, 'x'));
  const unique_fd next = s.say("again\n");
  s.turn_until_heard(2);
}

BOOST_AUTO_TEST_CASE(so_many_at_a_time_and_no_more) {
  service s;
  std::vector<unique_fd> clients;
  for (std::size_t i = 0; i < process::most_requests; ++i) clients.push_back(s.say("wait\n"));
  s.turn_until_heard(process::most_requests);
  const std::string refused = s.hear(s.connect());
  BOOST_TEST(refused.find("64 requests of this attempt are open") != std::string::npos);
  s.heard[7].answer("go");
  BOOST_TEST(s.hear(clients[7]) == "go\n");
  const unique_fd next = s.say("next\n");
  s.turn_until_heard(process::most_requests + 1);
}

BOOST_AUTO_TEST_CASE(its_end_is_told_to_who_waits) {
  service s;
  const unique_fd asker = s.say("wait\n"), silent = s.connect();
  s.turn_until_heard(1);
  s.socket.reset();
  BOOST_TEST(!std::filesystem::exists(s.path));
  BOOST_TEST(s.hear(asker) == "");
  BOOST_TEST(s.hear(silent) == "");
  s.heard[0].answer("too late");
}

BOOST_AUTO_TEST_CASE(who_is_not_of_the_attempt_is_refused_before_it_speaks) {
  service s(false);
  const std::string refused = s.hear(s.connect());
  BOOST_TEST(refused == process::refusal("process " + std::to_string(::getpid()) +
                                         " is not of this attempt: only its agent, and what that "
                                         "started, may ask") +
                            "\n");
}

BOOST_AUTO_TEST_CASE(a_path_longer_than_an_address_and_a_socket_that_was_left_there) {
  service s;
  s.socket.reset();
  s.path = s.w.root / std::string(200, 'd') / "socket";
  std::filesystem::create_directory(s.path.parent_path());
  s.open(true, 60s);
  std::optional<result<std::string>> answer;
  std::thread client([&] { answer = process::send_request(s.path, "left", 60s); });
  s.turn_until_heard(1);
  s.heard[0].answer("much");
  s.turn();
  client.join();
  BOOST_REQUIRE(answer->has_value());
  BOOST_TEST(**answer == "much");

  const auto stale = process::listen_for_requests(s.path);  // nobody listens any more at the first
  BOOST_TEST(stale.has_value());
}

BOOST_AUTO_TEST_CASE(nobody_there_is_an_error_that_says_so) {
  world w;
  const auto none = process::send_request(w.root / "socket", "left", 1s);
  BOOST_REQUIRE(none.has_error());
  BOOST_TEST(none.error().is(errc::environment));
  BOOST_TEST(none.error().what.find("the orchestrator has ended") != std::string::npos);
  {
    const auto listening = process::listen_for_requests(w.root / "socket");
  }
  const auto stale = process::send_request(w.root / "socket", "left", 1s);
  BOOST_TEST(stale.error().is(errc::environment));
}

BOOST_AUTO_TEST_CASE(an_orchestrator_that_does_not_answer_is_given_up) {
  world w;
  const auto listening = process::listen_for_requests(w.root / "socket");
  const auto late = process::send_request(w.root / "socket", "left", 10ms);
  BOOST_REQUIRE(late.has_error());
  BOOST_TEST(late.error().is(errc::timed_out));
}

// --- of a real attempt ---

namespace {

asio::awaitable<void> its_own_tree_is_heard(world& w) {
  for (const char* words : {"hello", "daemon"}) {
    process::spawn_spec spec = w.spec({"ask", words});
    spec.socket = spec.attempt_dir / "socket";
    const std::filesystem::path socket = spec.socket;
    auto child = co_await w.host->start(std::move(spec));
    BOOST_REQUIRE(child.has_value());
    story s;
    co_await follow(**child, s, has_line);
    BOOST_TEST(s.out == std::string("told ") + words + "\n");
    BOOST_TEST(s.unheard == "");
    if (std::string_view(words) == "daemon") co_await kill_and_follow(**child, s);
    if (!s.empty) co_await follow_to_the_end(**child, s);
    BOOST_TEST(!std::filesystem::exists(socket));
  }
}

asio::awaitable<void> we_are_not_of_it(world& w) {
  process::spawn_spec spec = w.spec({"wait"});
  spec.socket = spec.attempt_dir / "socket";
  const std::filesystem::path socket = spec.socket;
  auto child = co_await w.host->start(std::move(spec));
  BOOST_REQUIRE(child.has_value());
  std::optional<result<std::string>> answer;
  std::thread client([&] { answer = process::send_request(socket, "left", 60s); });
  while (!answer) co_await turn_the_loop();
  client.join();
  BOOST_REQUIRE(answer->has_value());
  BOOST_TEST((**answer).find("is not of this attempt") != std::string::npos);
  story s;
  co_await kill_and_follow(**child, s);
  BOOST_TEST(s.asked.empty());
}

asio::awaitable<void> it_lives_without(world& w) {
  process::spawn_spec spec = w.spec({"env"});
  spec.socket = spec.attempt_dir / std::string(150, 's');
  spec.environment.emplace_back(process::socket_variable, "of somebody else");
  auto child = co_await w.host->start(std::move(spec));
  BOOST_REQUIRE(child.has_value());
  story s;
  co_await follow_to_the_end(**child, s);
  BOOST_TEST(s.unheard.find("File name too long") != std::string::npos);
  BOOST_TEST(s.out.find(process::socket_variable) == std::string::npos);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_agent_and_who_left_its_parents_are_heard) {
  each_way(its_own_tree_is_heard);
}

BOOST_AUTO_TEST_CASE(another_process_of_this_user_is_refused) {
  each_way(we_are_not_of_it);
}

BOOST_AUTO_TEST_CASE(an_agent_without_a_socket_does_its_work) {
  each_way(it_lives_without);
}

BOOST_AUTO_TEST_CASE(a_tree_is_climbed_to_its_root) {
  world w;
  run(w.loop, [](world& at) -> asio::awaitable<void> {
    auto child = co_await at.start("wrap");
    story s;
    co_await follow(*child, s, has_line);
    const int grandchild = pid_in(s), shim = shim_of(*child);
    BOOST_TEST(process::descends_from(grandchild, shim).value());
    BOOST_TEST(process::descends_from(child->who().pid, shim).value());
    BOOST_TEST(!process::descends_from(shim, shim).value());
    BOOST_TEST(!process::descends_from(::getpid(), shim).value());
    BOOST_TEST(!process::descends_from(1, shim).value());
    co_await kill_and_follow(*child, s);
    BOOST_TEST(process::descends_from(grandchild, shim).has_error());
  }(w));
}

BOOST_AUTO_TEST_SUITE_END()

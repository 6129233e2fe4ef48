#include <signal.h>

#include "world.hpp"

using namespace remora;
using namespace remora::testing;

BOOST_AUTO_TEST_SUITE(pipes)

asio::awaitable<void> echo(world& w) {
  const auto child = co_await w.start("cat");
  const std::string text(300'000, 'y');  // more than a pipe holds
  child->write_stdin(text);
  child->write_stdin("end");
  child->close_stdin();
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out.size() == text.size() + 3);
  BOOST_TEST(s.out.ends_with("yend"));
  BOOST_TEST((s.exit == exit_status::exited(0)));
}
BOOST_AUTO_TEST_CASE(stdin_is_written_in_order_and_closed_after_the_last_byte) {
  each_way(echo);
}

asio::awaitable<void> closed_stdin(world& w) {
  const auto child = co_await w.start("close-stdin");
  story s;
  co_await follow(*child, s, has_line);
  child->write_stdin(std::string(300'000, 'y'));
  child->write_stdin("more");
  child->close_stdin();
  co_await kill_and_follow(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
}
BOOST_AUTO_TEST_CASE(O10_a_closed_stdin_is_ignored) {
  each_way(closed_stdin);
}

asio::awaitable<void> flood_err(world& w) {
  const auto child = co_await w.start("flood", "err", "1000000");
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.err.size() == 1'000'000u);
  BOOST_TEST((s.exit == exit_status::exited(0)));
  BOOST_TEST(std::filesystem::file_size(w.root / "1" / "err") == 1'000'000u);
}
BOOST_AUTO_TEST_CASE(O8_both_outputs_are_read) {
  each_way(flood_err);
}

asio::awaitable<void> unread_flood(world& w) {
  constexpr std::uintmax_t total = 4 << 20;
  constexpr std::uintmax_t bound = 1 << 20;
  const auto child = co_await w.start("flood", "out", std::to_string(total));
  const auto out = w.root / "1" / "out";
  while (std::filesystem::file_size(out) < bound - (64 << 10)) co_await turn_the_loop();
  for (int i = 0; i < 1000; ++i) co_await turn_the_loop();
  BOOST_TEST(std::filesystem::file_size(out) <= bound);
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out.size() == total);
  BOOST_TEST(std::filesystem::file_size(out) == total);
}
BOOST_AUTO_TEST_CASE(O3_unread_output_is_bounded_and_none_is_lost) {
  each_way(unread_flood);
}

asio::awaitable<void> held_pipe(world& w) {
  const auto child = co_await w.start("daemon", "hold");
  story s;
  co_await follow(*child, s, has_exited);
  BOOST_TEST((s.exit == exit_status::exited(0)));
  BOOST_TEST(has_line(s));
  const unique_fd daemon = watch(pid_in(s));
  BOOST_TEST(!is_dead(daemon));
  co_await kill_and_follow(*child, s);
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(is_dead(daemon));
}
BOOST_AUTO_TEST_CASE(O1_an_exit_is_told_while_a_grandchild_holds_the_pipe) {
  each_way(held_pipe);
}

asio::awaitable<void> partial_line(world& w) {
  const auto child = co_await w.start("print-for-ever");
  story s;
  co_await follow(*child, s, [](const story& so_far) { return so_far.out.size() > 100; });
  co_await kill_and_follow(*child, s);
  const auto raw = read_file(w.root / "1" / "out");
  BOOST_TEST((raw.value() == s.out));
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
}
BOOST_AUTO_TEST_CASE(O6_what_was_written_before_a_kill_is_kept) {
  each_way(partial_line);
}

BOOST_AUTO_TEST_SUITE_END()

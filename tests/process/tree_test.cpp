// Freezing, signals and the end of whole process trees.
#include <signal.h>

#include "process/proc.hpp"
#include "process/shim_protocol.hpp"
#include "world.hpp"

using namespace remora;
using namespace remora::testing;

BOOST_AUTO_TEST_SUITE(tree)

asio::awaitable<void> double_fork(world& w) {
  const auto child = co_await w.start("daemon", "stay");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  const unique_fd agent = watch(child->who().pid);
  co_await kill_and_follow(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(is_dead(daemon));
  BOOST_TEST(is_dead(agent));
}
BOOST_AUTO_TEST_CASE(P1_a_daemon_in_its_own_session_dies_with_the_tree) {
  each_way(double_fork);
}

asio::awaitable<void> wrapper(world& w) {
  const auto child = co_await w.start("wrap");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd wrapped = watch(pid_in(s));
  co_await kill_and_follow(*child, s);
  BOOST_TEST(is_dead(wrapped));
}
BOOST_AUTO_TEST_CASE(P2_a_kill_takes_what_a_wrapper_runs) {
  each_way(wrapper);
}

asio::awaitable<void> signal_wrapper(world& w) {
  const auto child = co_await w.start("wrap");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd wrapped = watch(pid_in(s));
  child->signal(SIGTERM);
  co_await follow_to_the_end(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGTERM)));
  BOOST_TEST(is_dead(wrapped));
}
BOOST_AUTO_TEST_CASE(P2_a_signal_goes_to_the_whole_process_group) {
  each_way(signal_wrapper);
}

asio::awaitable<void> adopted_zombies(world& w) {
  const auto child = co_await w.start("orphans", "50");
  story s;
  co_await follow(*child, s, has_line);
  const int shim = shim_of(*child);
  // Each answer is a turn of the shim's loop; in each it reaps. Ends by the test's deadline if not.
  while (process::children_of(shim).value() != std::vector{child->who().pid}) {
    const int answers = s.thawed;
    child->thaw();
    co_await follow(*child, s, [=](const story& now) { return now.thawed > answers; });
  }
  co_await kill_and_follow(*child, s);
}
BOOST_AUTO_TEST_CASE(P3_adopted_zombies_are_reaped) {
  each_way(adopted_zombies);
}

asio::awaitable<void> term_ignored(world& w) {
  const auto child = co_await w.start("ignore-term");
  story s;
  co_await follow(*child, s, has_line);
  child->signal(SIGTERM);
  child->thaw();  // answered after the signal was sent
  co_await follow(*child, s, [](const story& now) { return now.thawed == 1; });
  BOOST_TEST(!s.exit.has_value());
  co_await kill_and_follow(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
}
BOOST_AUTO_TEST_CASE(P4_an_agent_that_ignores_term_is_killed) {
  each_way(term_ignored);
}

asio::awaitable<void> stopped_agent(world& w) {
  const auto child = co_await w.start("stop-self");
  story s;
  co_await follow(*child, s, has_line);
  co_await freeze_and_follow(*child, s);
  BOOST_TEST(s.frozen_whole == 1);
  co_await kill_and_follow(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(s.out == "ready\n");
}
BOOST_AUTO_TEST_CASE(P5_a_stopped_agent_is_frozen_and_killed_like_any_other) {
  each_way(stopped_agent);
}

asio::awaitable<void> frozen_is_silent(world& w) {
  for (const auto& words : {std::vector<std::string>{"print-for-ever"},
                            std::vector<std::string>{"fork-loop", "100000"}}) {
    const auto spec = w.spec(words);
    const auto begun = co_await w.host->start(spec);
    process::child* const child = begun.value().get();
    story s;
    co_await follow(*child, s, [](const story& now) { return now.out.size() > 10; });
    co_await freeze_and_follow(*child, s);
    BOOST_TEST(s.frozen_whole == 1);
    const std::size_t printed = s.out.size();
    // Its answer comes after all that would have been printed until then.
    co_await freeze_and_follow(*child, s);
    BOOST_TEST(s.frozen_whole == 2);
    BOOST_TEST(s.out.size() == printed);
    child->thaw();
    co_await follow(*child, s, [=](const story& now) { return now.out.size() > printed; });
    co_await kill_and_follow(*child, s);
    BOOST_TEST(s.thawed == 1);
    BOOST_TEST(s.frozen_partly == 0);
  }
}
BOOST_AUTO_TEST_CASE(a_frozen_tree_does_nothing_until_it_is_thawed) {
  each_way(frozen_is_silent);
}

/// A tree that forks fast leaves its dead to the shim. One that does nothing else has thousands of
/// them at once only while the shim is stopped.
asio::awaitable<void> many_dead(world& w) {
  const auto child = co_await w.start("orphans", "12000");
  const int shim = shim_of(*child);
  BOOST_REQUIRE(::kill(shim, SIGSTOP) == 0);
  story s;
  co_await follow(*child, s, has_line);
  child->freeze();
  BOOST_REQUIRE(::kill(shim, SIGCONT) == 0);
  co_await follow(*child, s, [](const story& n) { return n.frozen_whole + n.frozen_partly > 0; });
  BOOST_TEST(s.frozen_whole == 1);
  co_await kill_and_follow(*child, s);
}
BOOST_AUTO_TEST_CASE(P3_a_freeze_is_not_held_up_by_the_dead) {
  world w(false);
  run(w.loop, many_dead(w));
}

/// It ends with commands unread, and only then do we read what it said.
asio::awaitable<void> unread_commands(world& w) {
  const auto child = co_await w.start("obey-term");
  story s;
  co_await follow(*child, s, has_line);
  const int shim_pid = shim_of(*child);
  const unique_fd shim = watch(shim_pid);
  const unique_fd agent = watch(child->who().pid);
  BOOST_REQUIRE(::kill(shim_pid, SIGSTOP) == 0);
  BOOST_REQUIRE(::kill(child->who().pid, SIGTERM) == 0);
  BOOST_REQUIRE(is_dead(agent, 10'000));
  for (int i = 0; i < 3; ++i) child->thaw();  // it reads one at a time
  BOOST_REQUIRE(::kill(shim_pid, SIGCONT) == 0);
  BOOST_REQUIRE(is_dead(shim, 10'000));
  co_await follow(*child, s, is_empty);
  BOOST_TEST((s.exit == exit_status::exited(7)));
  BOOST_TEST(s.empty->proven);
}
BOOST_AUTO_TEST_CASE(what_the_shim_said_last_is_heard_though_it_left_commands_unread) {
  each_way(unread_commands);
}

asio::awaitable<void> stopped_shim(world& w) {
  auto child = co_await w.start("daemon", "stay");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  const unique_fd agent = watch(child->who().pid);
  BOOST_REQUIRE(::kill(shim_of(*child), SIGSTOP) == 0);
  child.reset();
  co_await w.host->join();
  BOOST_TEST(is_dead(daemon));
  BOOST_TEST(is_dead(agent));
}
BOOST_AUTO_TEST_CASE(P5_a_stopped_shim_ends_its_tree_all_the_same) {
  each_way(stopped_shim);
}

/// From now on the shim can open nothing: all that it may have it has.
void leave_no_descriptors(const process::child& child) {
  const int shim = shim_of(child);
  rlimit limit{};
  BOOST_REQUIRE(::prlimit(shim, RLIMIT_NOFILE, nullptr, &limit) == 0);
  limit.rlim_cur = process::shim::first_free_fd;
  BOOST_REQUIRE(::prlimit(shim, RLIMIT_NOFILE, &limit, nullptr) == 0);
}

asio::awaitable<void> thaw_without_descriptors(world& w) {
  const auto child = co_await w.start("obey-term");
  story s;
  co_await follow(*child, s, has_line);
  co_await freeze_and_follow(*child, s);
  BOOST_TEST(s.frozen_whole == 1);
  leave_no_descriptors(*child);
  child->signal(SIGTERM);
  child->thaw();
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out == "ready\nterm\n");
  BOOST_TEST((s.exit == exit_status::exited(7)));
  BOOST_TEST(s.empty->proven);
}
BOOST_AUTO_TEST_CASE(F5_a_tree_is_thawed_where_nothing_can_be_opened) {
  each_way(thaw_without_descriptors);
}

/// What is not seen to stand still is not called frozen.
asio::awaitable<void> kill_without_descriptors(world& w) {
  const auto child = co_await w.start("print-for-ever");
  story s;
  co_await follow(*child, s, [](const story& now) { return now.out.size() > 10; });
  leave_no_descriptors(*child);
  co_await freeze_and_follow(*child, s);
  const std::size_t printed = s.out.size();
  co_await freeze_and_follow(*child, s);
  BOOST_TEST((s.frozen_whole == 2) == (s.out.size() == printed));
  co_await kill_and_follow(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(s.empty->proven);
}
BOOST_AUTO_TEST_CASE(F5_a_tree_is_ended_where_nothing_can_be_opened) {
  each_way(kill_without_descriptors);
}

asio::awaitable<void> signal_while_frozen(world& w) {
  const auto child = co_await w.start("obey-term");
  story s;
  co_await follow(*child, s, has_line);
  child->freeze();
  child->signal(SIGTERM);
  child->freeze();
  co_await follow(*child, s, [](const story& now) { return now.frozen_whole == 2; });
  BOOST_TEST(!s.exit.has_value());
  BOOST_TEST(s.out == "ready\n");
  child->thaw();
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out == "ready\nterm\n");
  BOOST_TEST((s.exit == exit_status::exited(7)));
}
BOOST_AUTO_TEST_CASE(a_signal_to_a_frozen_tree_waits_for_the_thaw) {
  each_way(signal_while_frozen);
}

asio::awaitable<void> kill_while_frozen(world& w) {
  const auto child = co_await w.start("daemon", "stay");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  child->freeze();
  co_await kill_and_follow(*child, s);
  BOOST_TEST(s.frozen_whole == 1);
  BOOST_TEST(is_dead(daemon));
}
BOOST_AUTO_TEST_CASE(a_kill_needs_no_thaw) {
  each_way(kill_while_frozen);
}

asio::awaitable<void> stopped_job(world& w) {
  const auto child = co_await w.start("stopped-job");
  story s;
  co_await follow(*child, s, has_line);
  const int job = pid_in(s);
  child->freeze();
  child->thaw();
  co_await follow(*child, s, [](const story& now) { return now.thawed == 1; });
  BOOST_TEST(process::read_stat(job)->state == 'T');
  const int agent = child->who().pid;
  // SIGCONT takes effect when it is sent: no wait is needed to see that the agent goes on.
  BOOST_TEST(process::read_stat(agent)->state != 'T');
  co_await kill_and_follow(*child, s);
  BOOST_TEST(s.out.find("woken") == std::string::npos);
}
BOOST_AUTO_TEST_CASE(a_job_that_the_agent_had_stopped_stays_stopped_after_a_thaw) {
  each_way(stopped_job);
}

asio::awaitable<void> kill_zero(world& w) {
  const auto child = co_await w.start("kill-zero");
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(s.empty->proven);
}
BOOST_AUTO_TEST_CASE(P4_an_agent_that_kills_its_own_group_hits_nobody_else) {
  each_way(kill_zero);
}

asio::awaitable<void> fork_loop(world& w) {
  const auto child = co_await w.start("fork-loop", "100000");
  story s;
  co_await follow(*child, s, [](const story& now) { return now.out.size() > 10; });
  co_await kill_and_follow(*child, s);
  BOOST_TEST(s.empty->proven);
}
BOOST_AUTO_TEST_CASE(P7_a_tree_that_forks_all_the_time_is_ended) {
  each_way(fork_loop);
}

asio::awaitable<void> uses_cpu(world& w) {
  const auto child = co_await w.start("use-cpu", "60");
  story s;
  co_await follow(*child, s, has_line);
  BOOST_TEST(child->use().value().cpu.count() >= 40);
  co_await kill_and_follow(*child, s);
}
BOOST_AUTO_TEST_CASE(P14_the_processor_time_of_the_tree_is_told) {
  each_way(uses_cpu);
}

asio::awaitable<void> dropped(world& w) {
  story s;
  unique_fd daemon;
  {
    const auto child = co_await w.start("daemon", "stay", "hold");
    co_await follow(*child, s, has_line);
    daemon = watch(pid_in(s));
  }
  co_await w.host->join();
  BOOST_TEST(is_dead(daemon));
  const auto remains = process::inspect_attempt(w.root / "1");
  BOOST_TEST(!remains.value().alive);
  BOOST_TEST((remains.value().exit == exit_status::killed(SIGKILL)));
}
BOOST_AUTO_TEST_CASE(a_child_that_is_dropped_is_ended_and_joined) {
  each_way(dropped);
}

BOOST_AUTO_TEST_SUITE_END()

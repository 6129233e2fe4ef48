// What happens when one of the two, the orchestrator or a shim, dies.
#include <signal.h>
#include <sys/wait.h>

#include <boost/asio/steady_timer.hpp>

#include "process/proc.hpp"
#include "world.hpp"

using namespace remora;
using namespace remora::testing;

BOOST_AUTO_TEST_SUITE(death)

asio::awaitable<void> kill_the_shim(world& w) {
  const auto child = co_await w.start("daemon", "stay", "hold");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  const unique_fd agent = watch(child->who().pid);
  ::kill(shim_of(*child), SIGKILL);
  co_await follow(*child, s, is_empty);
  BOOST_TEST((s.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(is_dead(agent));
  BOOST_TEST(is_dead(daemon));
  BOOST_TEST(process::children_of(::getpid()).value().empty());  // no zombies of it either
}
BOOST_AUTO_TEST_CASE(P1_the_tree_of_a_shim_that_died_is_ended_by_us) {
  each_way(kill_the_shim);
}

/// Nobody can be listed when it dies, nor for a while afterwards.
asio::awaitable<void> kill_the_shim_unseen(world& w) {
  const auto child = co_await w.start("daemon", "stay", "hold");
  story s;
  co_await follow(*child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  const int shim = shim_of(*child);
  asio::steady_timer later(w.loop, std::chrono::milliseconds(300));
  auto none = std::make_unique<descriptors_below>(rlim_t{0});
  later.async_wait([&](const auto& failed) {
    if (!failed) none.reset();
  });
  ::kill(shim, SIGKILL);
  co_await follow(*child, s, is_empty);
  BOOST_TEST(!none);
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(is_dead(daemon));
  BOOST_TEST(process::children_of(::getpid()).value().empty());
}
BOOST_AUTO_TEST_CASE(a_tree_that_could_not_be_looked_for_is_not_taken_for_gone,
                     *boost::unit_test::enable_if<may_lack_descriptors>()) {
  each_way(kill_the_shim_unseen);
}

asio::awaitable<void> kill_one_shim_of_two(world& w) {
  const auto other = co_await w.start("wait");
  const auto child = co_await w.start("fork-loop", "100000");
  story s;
  co_await follow(*child, s, [](const story& now) { return now.out.size() > 10; });
  // The first process of the chain is gone: its shim is the child that is not the other's.
  const int other_shim = shim_of(*other);
  const std::vector<int> ours = process::children_of(::getpid()).value();
  for (const int pid : ours)
    if (pid != other_shim) ::kill(pid, SIGKILL);
  co_await follow(*child, s, is_empty);
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(!is_dead(watch(other->who().pid)));
  BOOST_TEST((process::children_of(::getpid()).value() == std::vector{other_shim}));
  story t;
  co_await kill_and_follow(*other, t);
}
BOOST_AUTO_TEST_CASE(another_attempt_is_left_alone_when_a_shim_dies) {
  each_way(kill_one_shim_of_two);
}

/// A start by a shim that is a script.
asio::awaitable<void> start_by(process::host& host, process::spawn_spec spec, result<void>& told) {
  const auto child = co_await host.start(std::move(spec));
  told = child ? result<void>() : result<void>(child.error());
  // Before anything else may happen: whoever starts the next one does it now.
  BOOST_TEST(process::children_of(::getpid()).value().empty());
}

result<void> start_by_script(const std::string& script) {
  world w;
  const auto shim = w.root / "shim";
  BOOST_REQUIRE(write_file_durably(shim, "#!/bin/sh\n" + script, 0755).has_value());
  const auto host = process::make_host(w.loop.get_executor(), shim);
  result<void> told;
  run(w.loop, start_by(*host, w.spec({"wait"}), told));
  run(w.loop, host->join());
  return told;
}

BOOST_AUTO_TEST_CASE(P1_a_shim_killed_before_its_agent_was_started_is_told_when_nobody_is_left) {
  const auto killed = start_by_script("sleep 1000 &\nsetsid sleep 1000 &\nkill -9 $$\n");
  BOOST_REQUIRE(killed.has_error());
  BOOST_TEST(killed.error().is(errc::killed));
  BOOST_TEST(
      killed.error().what.starts_with("the shim was killed by SIGKILL before it had started"),
      killed.error().what);
}

BOOST_AUTO_TEST_CASE(a_shim_that_ends_by_itself_before_its_agent_was_started_is_of_no_use) {
  const auto ended = start_by_script("exit 2\n");
  BOOST_REQUIRE(ended.has_error());
  BOOST_TEST(ended.error().is(errc::environment));
  BOOST_TEST(ended.error().what.find("of the same version") != std::string::npos);
}

asio::awaitable<void> start_and_drop(process::host& host, process::spawn_spec spec, int& shim) {
  auto child = co_await host.start(std::move(spec));
  if (!child) throw std::runtime_error(child.error().what);
  shim = (*child)->who().pid;
  child->reset();
  co_await host.join();
}

/// It obeys nobody, as one whose agent is in the kernel: both live on.
BOOST_AUTO_TEST_CASE(P6_a_shim_that_cannot_end_its_tree_is_let_go_of_and_holds_the_lock) {
  world w;
  const auto script = w.root / "shim";
  BOOST_REQUIRE(write_file_durably(
                    script, "#!/bin/sh\nprintf \"started $$ 1 0\" >&3\nexec sleep 1000\n", 0755)
                    .has_value());
  const auto host = process::make_host(w.loop.get_executor(), script);
  const auto spec = w.spec({"wait"});
  int shim = 0;
  run(w.loop, start_and_drop(*host, spec, shim));
  BOOST_TEST(process::inspect_attempt(spec.attempt_dir).value().alive);
  BOOST_REQUIRE(shim > 0);
  ::kill(shim, SIGKILL);
  ::waitpid(shim, nullptr, 0);
  const auto remains = process::inspect_attempt(spec.attempt_dir).value();
  BOOST_TEST(!remains.alive);
}

struct told {
  int shim;
  int agent;
  int daemon;
};

[[gnu::noinline]] void tell(
    int fd, told ids) {  // g++ 12 misjudges the size of what lies in a coroutine's frame
  if (::write(fd, &ids, sizeof ids) != sizeof ids) ::_exit(1);
}

/// Runs in a process of its own: starts an agent that will not go by itself, says who is there,
/// and goes on until it is killed.
asio::awaitable<void> orchestrate(process::host& host, process::spawn_spec spec, int report) {
  const auto child = co_await host.start(spec);
  story s;
  co_await follow(**child, s, has_line);
  const int agent = (*child)->who().pid;
  const told ids{process::read_stat(agent)->parent, agent, pid_in(s)};
  tell(report, ids);
  co_await follow(**child, s, is_empty);
}

[[noreturn]] void be_orchestrator(const process::spawn_spec& spec, bool use_cgroups, int report) {
  asio::io_context loop;
  const auto host = process::make_host(loop.get_executor(), REMORA_SHIM, {use_cgroups});
  try {
    run(loop, orchestrate(*host, spec, report));
  } catch (...) {
  }
  ::_exit(0);
}

void kill_the_orchestrator(bool use_cgroups) {
  world w(use_cgroups);
  const auto spec = w.spec({"daemon", "stay", "hold"});
  int report[2];
  BOOST_REQUIRE(::pipe(report) == 0);
  const pid_t orchestrator = ::fork();
  if (orchestrator == 0) be_orchestrator(spec, use_cgroups, report[1]);
  ::close(report[1]);
  told t{};
  BOOST_REQUIRE(::read(report[0], &t, sizeof t) == sizeof t);
  ::close(report[0]);
  const unique_fd shim = watch(t.shim);
  const unique_fd agent = watch(t.agent);
  const unique_fd daemon = watch(t.daemon);
  BOOST_TEST(process::inspect_attempt(spec.attempt_dir).value().alive);
  ::kill(orchestrator, SIGKILL);
  ::waitpid(orchestrator, nullptr, 0);
  BOOST_TEST(is_dead(agent, 5000));
  BOOST_TEST(is_dead(daemon, 5000));
  BOOST_TEST(is_dead(shim, 5000));
  const auto remains = process::inspect_attempt(spec.attempt_dir);
  BOOST_TEST(!remains.value().alive);
  BOOST_TEST(remains.value().empty);
  BOOST_TEST((remains.value().exit == exit_status::killed(SIGTERM)));
  while (::waitpid(t.shim, nullptr, WNOHANG) > 0) continue;
}

BOOST_AUTO_TEST_CASE(X1_a_tree_whose_orchestrator_is_killed_is_gone_within_five_seconds) {
  for (const bool use_cgroups : {true, false}) kill_the_orchestrator(use_cgroups);
}

BOOST_AUTO_TEST_SUITE_END()

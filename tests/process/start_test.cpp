// How an agent is started, and what it finds.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "process/proc.hpp"
#include "world.hpp"

using namespace remora;
using namespace remora::testing;

namespace {

constexpr rlim_t limit_at_start = 777;

/// Before any test prepares the process, which raises the limit and remembers this one.
struct lowered_limit {
  lowered_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit_at_start;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(lowered_limit);

BOOST_AUTO_TEST_SUITE(start)

asio::awaitable<void> prints_and_exits(world& w) {
  const auto child = co_await w.start("print", "hello");
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out == "hello");
  BOOST_TEST((s.exit == exit_status::exited(0)));
  BOOST_TEST(s.empty->proven);
  BOOST_TEST(s.empty->unsaved_bytes == 0u);
  const auto raw = read_file(w.root / "1" / "out");
  BOOST_TEST(raw.value() == "hello");
}
BOOST_AUTO_TEST_CASE(O11_output_is_in_the_file_and_reported_before_the_exit) {
  each_way(prints_and_exits);
}

asio::awaitable<void> exits_with(world& w) {
  for (const int code : {0, 3, 127, 255}) {
    const auto child = co_await w.start("exit-code", std::to_string(code));
    story s;
    co_await follow_to_the_end(*child, s);
    BOOST_TEST((s.exit == exit_status::exited(code)));
  }
  const auto remains = process::inspect_attempt(w.root / "2");
  BOOST_TEST((remains.value().exit == exit_status::exited(3)));
}
BOOST_AUTO_TEST_CASE(P9_exit_codes_127_among_them_are_told_and_kept) {
  each_way(exits_with);
}

asio::awaitable<void> cannot_start(world& w) {
  auto missing = w.spec({});
  missing.argv = {"/nowhere/agent"};
  const auto no_file = co_await w.host->start(missing);
  BOOST_TEST(no_file.error().is_errno(ENOENT));
  BOOST_TEST(no_file.error().what.find("/nowhere/agent") != std::string::npos);

  auto plain = w.spec({});
  plain.argv = {(w.root / "1" / "lock").string()};
  const auto not_executable = co_await w.host->start(plain);
  BOOST_TEST(not_executable.error().is_errno(EACCES));

  auto unknown = w.spec({});
  unknown.argv = {"remora-no-such-agent"};
  const auto not_in_path = co_await w.host->start(unknown);
  BOOST_TEST(not_in_path.error().is_errno(ENOENT));

  auto nowhere = w.spec({"print", "x"});
  nowhere.cwd = w.root / "gone";
  const auto no_cwd = co_await w.host->start(nowhere);
  BOOST_TEST(no_cwd.error().is(errc::environment));
  BOOST_TEST(no_cwd.error().what.find("gone") != std::string::npos);

  const auto huge = w.spec({"print", std::string(3'000'000, 'x')});
  const auto too_long = co_await w.host->start(huge);
  BOOST_TEST(too_long.error().is_errno(E2BIG));
}
BOOST_AUTO_TEST_CASE(P9_an_exec_that_fails_is_an_errno_and_not_an_exit) {
  each_way(cannot_start);
}

asio::awaitable<void> path_search(world& w) {
  auto spec = w.spec({});
  const std::filesystem::path target = REMORA_TARGET;
  spec.argv = {target.filename().string(), "print", "found"};
  spec.environment = {{"PATH", "/nowhere:" + target.parent_path().string()}};
  const auto child = co_await w.host->start(spec);
  story s;
  co_await follow_to_the_end(**child, s);
  BOOST_TEST(s.out == "found");
}
BOOST_AUTO_TEST_CASE(a_name_without_a_slash_is_searched_in_the_agents_own_path) {
  each_way(path_search);
}

asio::awaitable<void> no_shim(world& w) {
  const auto host = process::make_host(w.loop.get_executor(), "/nowhere/remora-shim");
  const auto spec = w.spec({"print", "x"});
  const auto child = co_await host->start(spec);
  BOOST_TEST(child.error().is(errc::environment));
  const auto other = process::make_host(w.loop.get_executor(), "/bin/false");
  const auto dead = co_await other->start(spec);
  BOOST_TEST(dead.error().is(errc::environment));
  co_await other->join();
}
BOOST_AUTO_TEST_CASE(a_missing_or_wrong_shim_is_the_environments_fault) {
  world w;
  run(w.loop, no_shim(w));
}

asio::awaitable<void> lists_descriptors(world& w) {
  // Two that are not close-on-exec, as a careless parent leaves them.
  const unique_fd low(::fcntl(2, F_DUPFD, 3));
  const unique_fd high(::fcntl(2, F_DUPFD, 200));
  const auto child = co_await w.start("fds");
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out == "0 1 2 ");
}
BOOST_AUTO_TEST_CASE(C11_an_agent_has_three_descriptors_and_no_other) {
  each_way(lists_descriptors);
}

asio::awaitable<void> prints_environment(world& w) {
  auto spec = w.spec({"env"});
  spec.environment = {{"A", "1"}, {"B", "two words\nand lines"}, {"EMPTY", ""}};
  const auto child = co_await w.host->start(spec);
  story s;
  co_await follow_to_the_end(**child, s);
  BOOST_TEST(s.out == "A=1\nB=two words\nand lines\nEMPTY=\n");
}
BOOST_AUTO_TEST_CASE(C10_an_agent_has_the_environment_it_was_given_and_no_other) {
  each_way(prints_environment);
}

asio::awaitable<void> prints_state(world& w) {
  const auto child = co_await w.start("state");
  story s;
  co_await follow_to_the_end(*child, s);
  const std::string pid = std::to_string(child->who().pid);
  BOOST_TEST(s.out.starts_with(pid + " " + pid + " 0 0 "));
  BOOST_TEST(::getsid(0) != child->who().pid);
}
BOOST_AUTO_TEST_CASE(P15_an_agent_leads_a_session_and_inherits_no_signal_state) {
  each_way(prints_state);
}

asio::awaitable<void> descriptor_limit(world& w) {
  rlimit now{};
  ::getrlimit(RLIMIT_NOFILE, &now);
  BOOST_TEST(now.rlim_cur == now.rlim_max);
  const auto child = co_await w.start("state");
  story s;
  co_await follow_to_the_end(*child, s);
  BOOST_TEST(s.out.ends_with(" " + std::to_string(limit_at_start)));
}
BOOST_AUTO_TEST_CASE(an_agent_gets_the_descriptor_limit_that_we_were_started_with) {
  each_way(descriptor_limit);
}

asio::awaitable<void> identity_of(world& w) {
  const auto child = co_await w.start("wait");
  const auto stat = process::read_stat(child->who().pid);
  BOOST_REQUIRE(stat.has_value());
  BOOST_TEST(child->who().start_ticks == stat->start_ticks);
  BOOST_TEST(child->who().start_ticks > 0u);
  BOOST_TEST(child->who().boot == boot_id());
  story s;
  co_await kill_and_follow(*child, s);
}
BOOST_AUTO_TEST_CASE(P8_an_identity_names_pid_start_time_and_boot) {
  each_way(identity_of);
}

asio::awaitable<void> starts_twice(world& w) {
  auto spec = w.spec({"wait"});
  const auto first = co_await w.host->start(spec);
  BOOST_TEST(process::inspect_attempt(spec.attempt_dir).value().alive);
  const auto second = co_await w.host->start(spec);
  BOOST_TEST(second.error().is(errc::held));
  story s;
  co_await kill_and_follow(**first, s);
  BOOST_TEST(!process::inspect_attempt(spec.attempt_dir).value().alive);
}
BOOST_AUTO_TEST_CASE(P13_a_live_attempt_cannot_be_started_again) {
  each_way(starts_twice);
}

BOOST_AUTO_TEST_CASE(an_attempt_without_remains_is_neither_alive_nor_exited) {
  world w;
  const auto none = process::inspect_attempt(w.root / "never");
  BOOST_TEST(!none.value().alive);
  BOOST_TEST(!none.value().exit.has_value());
}

BOOST_AUTO_TEST_SUITE_END()

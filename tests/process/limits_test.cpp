// What a tree may have at once (P7, P12): for real, where a control group can be made.
#include <signal.h>

#include <remora/process/cgroups.hpp>

#include "world.hpp"

using namespace remora;
using namespace remora::testing;

namespace {

/// Nothing, with a message, where a limit cannot be enforced here.
bool can_limit() {
  const auto missing = process::unenforceable_limits({.memory_bytes = 1u << 30, .processes = 100});
  for (const std::string& why : missing) BOOST_TEST_MESSAGE("skipped: " << why);
  return missing.empty();
}

process::spawn_spec limited(world& w, const char* verb, const char* number,
                            process::tree_limits limits) {
  process::spawn_spec s = w.spec({verb, number});
  s.limits = limits;
  return s;
}

constexpr process::tree_limits memory{.memory_bytes = 64u << 20, .processes = 0};

}  // namespace

BOOST_AUTO_TEST_SUITE(limits)

asio::awaitable<void> too_much_memory(world& w) {
  const process::spawn_spec s = limited(w, "use-memory", "300", memory);
  const auto child = co_await w.start_spec(s);
  BOOST_TEST(child->limited());
  story told;
  co_await follow_to_the_end(*child, told);
  BOOST_TEST((told.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(told.out_of_memory);
  BOOST_TEST(told.empty->oom_kills >= 1u);
  BOOST_TEST(told.out.empty());
  BOOST_TEST(process::find_agent_groups(s.name).empty());
}
BOOST_AUTO_TEST_CASE(P12_who_uses_more_memory_than_it_may_was_ended_for_that) {
  if (!can_limit()) return;
  world w;
  run(w.loop, too_much_memory(w));
}

asio::awaitable<void> tool_uses_memory(world& w) {
  const auto child = co_await w.start_spec(limited(w, "tool-uses-memory", "300", memory));
  story told;
  co_await follow(*child, told, has_line);
  BOOST_TEST(told.out == "signal 9\n");
  BOOST_TEST(!told.exit);  // it lives on
  co_await kill_and_follow(*child, told);
  BOOST_TEST((told.exit == exit_status::killed(SIGKILL)));
  BOOST_TEST(!told.out_of_memory);  // we did
  BOOST_TEST(told.empty->oom_kills >= 1u);
}
BOOST_AUTO_TEST_CASE(P12_a_tool_that_is_ended_for_its_memory_is_not_the_agents_end) {
  if (!can_limit()) return;
  world w;
  run(w.loop, tool_uses_memory(w));
}

asio::awaitable<void> fork_bomb(world& w) {
  const process::tree_limits few{.memory_bytes = 0, .processes = 64};
  const auto beside = co_await w.start("fork-many", "100");
  const process::spawn_spec s = limited(w, "fork-many", "300", few);
  const auto child = co_await w.start_spec(s);
  story told, other;
  co_await follow_to_the_end(*child, told);
  BOOST_TEST(told.out == "63\n");  // and itself
  BOOST_TEST((told.exit == exit_status::exited(0)));
  BOOST_TEST(told.empty->refused_forks >= 1u);
  co_await follow_to_the_end(*beside, other);
  BOOST_TEST(other.out == "100\n");
  BOOST_TEST(other.empty->refused_forks == 0u);
  BOOST_TEST(process::find_agent_groups(s.name).empty());
}
BOOST_AUTO_TEST_CASE(P7_a_fork_bomb_gets_what_it_may_have_and_others_are_unaffected) {
  if (!can_limit()) return;
  world w;
  run(w.loop, fork_bomb(w));
}

asio::awaitable<void> without_limits(world& w) {
  const auto child = co_await w.start_spec(limited(w, "use-memory", "100", memory));
  story told;
  co_await follow_to_the_end(*child, told);
  BOOST_TEST(told.out == "used\n");
}
BOOST_AUTO_TEST_CASE(a_host_that_makes_no_control_groups_limits_nothing_and_says_so) {
  world w(false);
  BOOST_TEST(w.host->unenforceable({.memory_bytes = 1u << 30, .processes = 0}).size() == 1u);
  BOOST_TEST(w.host->unenforceable({}).empty());
  run(w.loop, without_limits(w));
}

asio::awaitable<void> group_in_use(world& w, process::spawn_spec s) {
  const auto child = co_await w.start_spec(std::move(s));
  BOOST_TEST(!child->limited());
  story told;
  co_await follow_to_the_end(*child, told);
  BOOST_TEST(told.out == "used\n");  // all the same
}
BOOST_AUTO_TEST_CASE(a_limit_that_cannot_be_set_is_told_and_the_agent_starts) {
  if (!can_limit()) return;
  world w;
  const process::spawn_spec s = limited(w, "use-memory", "1", memory);
  // A group of this name that has a child cannot be made anew.
  const auto parent = process::own_cgroup_v1("memory");
  if (parent.empty()) {
    BOOST_TEST_MESSAGE("skipped: no memory controller of cgroup v1");
    return;
  }
  const auto below = parent / ("remora-" + s.name) / "below";
  BOOST_REQUIRE(std::filesystem::create_directories(below));
  run(w.loop, group_in_use(w, s));
  BOOST_TEST(::rmdir(below.c_str()) == 0);
  BOOST_TEST(process::find_agent_groups(s.name).size() == 1u);
  BOOST_TEST(process::remove_agent_group(below.parent_path()));
  BOOST_TEST(!process::remove_agent_group(below.parent_path()));
}

BOOST_AUTO_TEST_SUITE_END()

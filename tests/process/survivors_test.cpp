// Processes of an earlier orchestrator: known again for certain, or not touched.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>
#include <remora/process/survivors.hpp>
#include <thread>

#include "process/proc.hpp"
#include "world.hpp"

using namespace remora;
using namespace remora::testing;

BOOST_AUTO_TEST_SUITE(survivors)

namespace {

/// A child that waits for a signal.
class sleeper {
 public:
  sleeper() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  ~sleeper() { end(); }
  void end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  process::identity who() const { return {pid_, process::read_stat(pid_)->start_ticks, boot_id()}; }

 private:
  pid_t pid_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_process_is_running_stopped_or_gone) {
  sleeper one;
  const process::identity who = one.who();
  BOOST_TEST((process::life_of(who) == process::life::running));
  BOOST_TEST(process::signal_survivor(who, SIGSTOP).value());
  siginfo_t info{};
  BOOST_REQUIRE(::waitid(P_PID, static_cast<id_t>(who.pid), &info, WSTOPPED | WNOWAIT) == 0);
  BOOST_TEST((process::life_of(who) == process::life::stopped));
  BOOST_TEST(!process::await_end(who, std::chrono::milliseconds(0)));
  ::kill(who.pid, SIGKILL);
  BOOST_TEST(process::await_end(who, std::chrono::seconds(20)));
  BOOST_TEST((process::life_of(who) == process::life::gone));  // a zombie is nobody
  one.end();
  BOOST_TEST((process::life_of(who) == process::life::gone));
  BOOST_TEST(!process::signal_survivor(who, SIGKILL).value());
}

BOOST_AUTO_TEST_CASE(P8_X6_another_start_time_or_boot_is_another_process_and_is_not_signalled) {
  sleeper bystander;
  const process::identity right = bystander.who();
  for (const process::identity& wrong :
       {process::identity{right.pid, right.start_ticks + 1, right.boot},
        process::identity{right.pid, right.start_ticks, "the boot before this one"},
        process::identity{right.pid, right.start_ticks, ""},
        process::identity{0, right.start_ticks, right.boot},
        process::identity{-1, right.start_ticks, right.boot}}) {
    BOOST_TEST((process::life_of(wrong) == process::life::gone));
    BOOST_TEST(!process::signal_survivor(wrong, SIGKILL).value());
    BOOST_TEST(process::await_end(wrong, std::chrono::milliseconds(0)));
  }
  BOOST_TEST((process::life_of(right) == process::life::running));
}

BOOST_AUTO_TEST_CASE(P13_who_cannot_be_looked_at_is_not_taken_for_nobody,
                     *boost::unit_test::enable_if<may_lack_descriptors>()) {
  world w;
  const auto dir = w.root / "9";
  std::filesystem::create_directories(dir);
  std::ofstream(dir / "lock") << "1 2 boot\n";
  sleeper one;
  const process::identity who = one.who();
  const rlim_t next = next_descriptor();
  for (const rlim_t left : {rlim_t{0}, rlim_t{1}}) {  // one: for a directory, and no file in it
    BOOST_TEST_CONTEXT(left << " descriptors left") {
      const descriptors_below few(next + left);
      BOOST_TEST(process::find_shims("").error().is_errno(EMFILE));
      BOOST_TEST(process::end_strays(dir, {"A=1"}).error().is_errno(EMFILE));
      BOOST_TEST(process::signal_survivor(who, SIGKILL).error().is_errno(EMFILE));
      BOOST_TEST(!process::await_end(who, std::chrono::milliseconds(0)));
      BOOST_TEST((process::life_of(who) == process::life::unknown));
      BOOST_TEST(process::children_of(::getpid()).error().is_errno(EMFILE));
    }
  }
  BOOST_TEST((process::life_of(who) == process::life::running));
  BOOST_TEST(!process::end_strays(dir, {"A=1"}).value());
}

asio::awaitable<void> gives_up(world& w) {
  auto spec = w.spec({"daemon", "stay", "hold"});
  const auto child = co_await w.host->start(spec);
  story s;
  co_await follow(**child, s, has_line);
  const unique_fd daemon = watch(pid_in(s));
  const auto shim = process::shim_in(spec.attempt_dir);
  BOOST_REQUIRE(shim.has_value());
  BOOST_REQUIRE(shim->has_value());
  BOOST_TEST((*shim)->pid == process::read_stat((*child)->who().pid)->parent);
  const auto named = process::find_shims(spec.name).value();
  BOOST_REQUIRE(named.size() == 1u);
  BOOST_TEST(named.front().who.pid == (*shim)->pid);
  BOOST_TEST(named.front().name == spec.name);
  BOOST_TEST(process::find_shims(spec.name + ".other").value().empty());

  const auto living = process::give_up_attempt(spec.attempt_dir);
  BOOST_TEST(living.value());
  co_await follow(**child, s, is_empty);
  BOOST_TEST(is_dead(daemon, 5000));
  BOOST_TEST(process::await_end(**shim, std::chrono::seconds(20)));
  BOOST_TEST(!process::give_up_attempt(spec.attempt_dir).value());
  BOOST_TEST(!process::shim_in(spec.attempt_dir)->has_value());
}
BOOST_AUTO_TEST_CASE(P13_a_shim_that_is_given_up_ends_its_tree_as_if_we_had_died) {
  each_way(gives_up);
}

BOOST_AUTO_TEST_CASE(P13_a_lock_that_names_somebody_else_leads_to_nobody) {
  // Held by this process; the text is from a life before, whose number is a bystander's now.
  world w;
  sleeper bystander;
  const auto dir = w.root / "9";
  std::filesystem::create_directories(dir);
  const process::identity who = bystander.who();
  {
    const auto fd = open_file(dir / "lock", O_RDWR | O_CREAT);
    BOOST_REQUIRE(::flock(fd->get(), LOCK_EX) == 0);
    const std::string text = std::to_string(who.pid) + " 1 " + who.boot + "\n";
    BOOST_REQUIRE(write_all(fd->get(), text).has_value());
    BOOST_TEST(!process::give_up_attempt(dir).value());
    BOOST_TEST(process::inspect_attempt(dir).value().alive);
  }
  BOOST_TEST((process::life_of(who) == process::life::running));
}

BOOST_AUTO_TEST_CASE(P13_a_shim_that_ends_is_known_and_waited_for_until_it_is_gone) {
  world w;
  const auto dir = w.root / "9";
  std::filesystem::create_directories(dir);
  sleeper shim;
  const auto lock = open_file(dir / "lock", O_RDWR | O_CREAT);
  BOOST_REQUIRE(::flock(lock->get(), LOCK_EX) == 0);
  const process::identity who = shim.who();
  BOOST_REQUIRE(
      write_all(lock->get(), fmt::format("{} {} {} ended\n", who.pid, who.start_ticks, who.boot))
          .has_value());
  const auto found = process::shim_in(dir);
  BOOST_REQUIRE(found.has_value());
  BOOST_REQUIRE(found->has_value());
  BOOST_TEST((*found)->pid == who.pid);
  BOOST_TEST(!process::end_strays(dir, {"A=1"}).value());
}

BOOST_AUTO_TEST_CASE(P6_a_tree_is_empty_where_its_shim_has_said_so_or_never_was) {
  world w;
  const auto dir = w.root / "9";
  const auto is_empty_now = [&] { return process::inspect_attempt(dir).value().empty; };
  BOOST_TEST(is_empty_now());
  std::filesystem::create_directories(dir);
  const std::pair<const char*, bool> locks[] = {{"", true},
                                                {"1 2 boot\n", false},
                                                {"1 2 boot ended\n", true},
                                                {"unknown\n", false},
                                                {"unknown ended\n", true}};
  for (const auto& [text, empty] : locks) {
    std::ofstream(dir / "lock") << text;
    BOOST_TEST(is_empty_now() == empty, text);
  }
}

BOOST_AUTO_TEST_CASE(
    P13_what_outlived_a_shim_that_was_killed_is_known_by_its_environment_and_ended) {
  world w;
  const auto dir = w.root / "9";
  const auto start = [](const char* setting) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const char* const environment[] = {setting, "B=2", nullptr};
      ::execle("/bin/sleep", "sleep", "1000", nullptr, environment);
      ::_exit(127);
    }
    return pid;
  };
  const auto holder = [&](const char* text) { std::ofstream(dir / "lock") << text; };
  const pid_t stray = start("A=1"), other = start("A=12");
  const auto ends = [&] { return process::end_strays(dir, {"A=1", "B=2"}).value(); };
  BOOST_TEST(!ends());  // nobody was started there
  std::filesystem::create_directories(dir);
  for (const char* text : {"", "1 2 boot ended\n"}) {
    holder(text);
    BOOST_TEST(!ends());  // nobody was started; its tree was seen to be empty
  }
  holder("1 2 boot\n");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!ends() && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();  // the exec
  siginfo_t info{};
  BOOST_TEST(::waitid(P_PID, static_cast<id_t>(stray), &info, WEXITED | WNOWAIT) == 0);
  BOOST_TEST(info.si_status == SIGKILL);
  BOOST_TEST(!ends());
  BOOST_TEST(::waitid(P_PID, static_cast<id_t>(other), &info, WEXITED | WNOHANG) == 0);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  ::waitpid(stray, nullptr, 0);
}

BOOST_AUTO_TEST_SUITE_END()

#include <remora/git/command.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <remora/git/repository.hpp>
#include <repo.hpp>

using namespace remora;
using namespace remora::git;
using namespace std::chrono_literals;
using remora::test::test_repo;

BOOST_AUTO_TEST_SUITE(command)

BOOST_AUTO_TEST_CASE(git_runs_and_its_output_and_status_come_back) {
  const test_repo files;
  const oid head = files.commit("one");
  const auto ran = run_git(files.path(), {"rev-parse", "HEAD"}, 30s);
  BOOST_REQUIRE(ran.has_value());
  BOOST_TEST(ran->status.success());
  BOOST_TEST(ran->out == head.hex() + "\n");
  const auto bad = run_git(files.path(), {"rev-parse", "--verify", "nothing"}, 30s);
  BOOST_REQUIRE(bad.has_value());
  BOOST_TEST((bad->status == exit_status::exited(128)));
  BOOST_TEST(bad->err.find("fatal") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(more_output_than_a_pipe_holds_is_read_on_both_streams) {
  const test_repo files;
  files.git("config alias.flood '!head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2'");
  const auto ran = run_git(files.path(), {"flood"}, 30s);
  BOOST_REQUIRE(ran.has_value());
  BOOST_TEST(ran->out.size() == 300'000u);
  BOOST_TEST(ran->err.size() == 4096u);
}

BOOST_AUTO_TEST_CASE(the_environment_is_scrubbed_and_hooks_are_off) {
  const test_repo files;
  files.git("config alias.env '!env'");
  files.git("config alias.hooks '!git config core.hooksPath'");
  ::setenv("GIT_DIR", "/nowhere", 1);
  ::setenv("REMORA_SECRET", "x", 1);
  const auto env = run_git(files.path(), {"env"}, 30s);
  const auto hooks = run_git(files.path(), {"hooks"}, 30s);
  ::unsetenv("GIT_DIR");
  ::unsetenv("REMORA_SECRET");
  BOOST_REQUIRE(env.has_value());
  BOOST_TEST(env->out.find("REMORA_SECRET") == std::string::npos);
  BOOST_TEST(env->out.find("/nowhere") == std::string::npos);
  BOOST_TEST(env->out.find("GIT_TERMINAL_PROMPT=0") != std::string::npos);
  BOOST_REQUIRE(hooks.has_value());
  BOOST_TEST(hooks->out == "/dev/null\n");
}

BOOST_AUTO_TEST_CASE(a_git_that_hangs_is_killed_at_its_deadline_with_what_it_started) {
  const test_repo files;
  BOOST_REQUIRE(::mkfifo((files.path() / "alive").c_str(), 0600) == 0);
  const int alive = ::open((files.path() / "alive").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  files.git("config alias.hang '!exec 3>alive; sleep 600'");
  const auto ran = run_git(files.path(), {"hang"}, 500ms);
  BOOST_REQUIRE(ran.has_error());
  BOOST_TEST(ran.error().is(errc::timed_out));
  ::fcntl(alive, F_SETFL, 0);
  char byte;
  BOOST_TEST(::read(alive, &byte, 1) == 0);  // the end: nobody is left who holds it open
  ::close(alive);
}

BOOST_AUTO_TEST_CASE(a_request_to_stop_ends_it_at_once) {
  const test_repo files;
  files.git("config alias.hang '!sleep 600'");
  std::stop_source stop;
  stop.request_stop();
  const auto ran = run_git(files.path(), {"hang"}, 1h, stop.get_token());
  BOOST_REQUIRE(ran.has_error());
  BOOST_TEST(ran.error().is(errc::stopped));
}

BOOST_AUTO_TEST_CASE(P3_all_that_a_killed_git_had_started_is_gone_when_it_is_told_and_reaped) {
  const test_repo files;
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  files.git("config alias.leave '!sleep 600 & echo $!; kill -9 $PPID'");
  const auto ran = run_git(files.path(), {"leave"}, 1h);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  BOOST_REQUIRE(ran.has_value());
  BOOST_TEST((ran->status == exit_status::killed(SIGKILL)));
  BOOST_TEST(ran->killed());
  BOOST_TEST(ran->why() == "killed by SIGKILL");
  BOOST_TEST(::kill(std::stoi(ran->out), 0) == -1);
  BOOST_TEST(::waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left, not a dead one either
}

BOOST_AUTO_TEST_CASE(a_grandchild_that_keeps_the_pipe_is_not_waited_for) {
  const test_repo files;
  files.git("config alias.leave '!sleep 600 & echo done'");
  const auto ran = run_git(files.path(), {"leave"}, 1h);
  BOOST_REQUIRE(ran.has_value());
  BOOST_TEST(ran->out == "done\n");
}

BOOST_AUTO_TEST_CASE(
    G4_the_lock_that_git_works_under_outlives_us_with_it_and_no_other_descriptor_does) {
  const test_repo files;
  files.git("config alias.descriptors '!ls /proc/self/fd'");
  const auto file = open_file(files.path() / "lock", O_RDWR | O_CREAT);
  // Numbers that nobody gets by chance.
  const unique_fd lock(::fcntl(file->get(), F_DUPFD_CLOEXEC, 60));
  const unique_fd other(::fcntl(file->get(), F_DUPFD_CLOEXEC, 70));
  const auto with = run_git(files.path(), {"descriptors"}, 30s, {}, &lock);
  const auto without = run_git(files.path(), {"descriptors"}, 30s);
  const std::string number = std::to_string(lock.get()) + "\n";
  BOOST_TEST(with->out.find("\n" + number) != std::string::npos, with->out);
  BOOST_TEST(without->out.find("\n" + number) == std::string::npos, without->out);
  for (const auto& ran : {with, without})
    BOOST_TEST(ran->out.find("\n" + std::to_string(other.get()) + "\n") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(without_git_or_the_directory_the_error_says_so) {
  const test::temp_dir dir;
  const auto nowhere = run_git(dir / "none", {"version"}, 30s);
  BOOST_REQUIRE(nowhere.has_error());
  BOOST_TEST(nowhere.error().is_errno(ENOENT));
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", dir.path().c_str(), 1);
  const auto ran = run_git(dir.path(), {"version"}, 30s);
  ::setenv("PATH", path.c_str(), 1);
  BOOST_REQUIRE(ran.has_error());
  BOOST_TEST(ran.error().is(errc::environment));
}

BOOST_AUTO_TEST_CASE(G20_a_checkout_with_a_sparse_or_a_split_index_is_compared) {
  const test_repo files;
  files.write("kept/f", "x");
  files.write("left/f", "x");
  files.commit("one");
  const auto dirty = [&] {
    return repository::discover(files.path()).value().dirty_paths(9).value();
  };
  files.git("sparse-checkout set --cone --sparse-index kept");
  BOOST_TEST(dirty().empty());
  files.write("kept/f", "changed");
  BOOST_TEST((dirty() == std::vector<std::string>{"kept/f"}));
  files.git("sparse-checkout disable");
  files.git("update-index --split-index");
  files.write("new", "x");
  BOOST_TEST((dirty() == std::vector<std::string>{"kept/f", "new"}));
}

BOOST_AUTO_TEST_SUITE_END()

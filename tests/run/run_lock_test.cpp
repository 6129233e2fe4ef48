// One run has one owner (G15): what the lock says, and how a stopped owner is replaced.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/run_lock.hpp>

#include "repo.hpp"

using namespace remora;
using run::run_layout;
using run::run_lock;

namespace {

struct scene {
  test::temp_dir dir;
  run_layout layout{dir.path(), run_id::parse("20260102-000000-27ab").value()};

  boost::json::object said() const {
    return boost::json::parse(test::read_bytes(layout.lock())).as_object();
  }
  void say(const char* key, boost::json::value value) const {
    boost::json::object o = said();
    o[key] = std::move(value);
    test::write_bytes(layout.lock(), boost::json::serialize(o) + "\n");
  }
  std::uint64_t inode() const {
    struct stat st{};
    return ::stat(layout.lock().c_str(), &st) == 0 ? st.st_ino : 0;
  }
};

/// Another process that takes the run, appends to its journal and stops itself. Continued, it asks
/// whether the run is still its own, appends only then, and exits with the answer.
class stopped_owner {
 public:
  static constexpr int fenced = 7;

  explicit stopped_owner(const run_layout& layout) : pid_(::fork()) {
    if (pid_ == 0) be_owner(layout);
    int status = 0;
    ::waitpid(pid_, &status, WUNTRACED);
    BOOST_REQUIRE(WIFSTOPPED(status));
  }
  ~stopped_owner() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }
  int go_on() {
    int status = 0;
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  [[noreturn]] static void be_owner(const run_layout& layout) {
    const auto lock = run_lock::take(layout);
    if (!lock) ::_exit(1);
    auto file = run::open_journal_file(layout.journal(), 0);
    if (!file || !(*file)->append("before\n")) ::_exit(1);
    ::raise(SIGSTOP);
    // As one that was stopped between its look at the lock and its write: in whatever file it ends.
    const bool written = (*file)->append("on its way\n").has_value();
    ::_exit(lock->check() ? 0 : written ? 1 : fenced);
  }
  pid_t pid_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(run_locks)

BOOST_AUTO_TEST_CASE(G15_the_lock_names_its_holder_and_counts_the_owners) {
  const scene s;
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    const auto lock = run_lock::take(s.layout);
    BOOST_REQUIRE(lock.has_value());
    BOOST_TEST(lock->generation() == generation);
    BOOST_TEST(s.said().at("generation").to_number<std::uint64_t>() == generation);
    BOOST_TEST(s.said().at("pid").to_number<int>() == ::getpid());
    BOOST_TEST(run::is_live(s.layout));
    const auto second = run_lock::take(s.layout);
    BOOST_TEST(second.error().is(errc::held));
    for (const std::string& part :
         {std::to_string(::getpid()), host_name(), std::string(s.said().at("since").as_string())})
      BOOST_TEST(second.error().what.find(part) != std::string::npos, second.error().what);
    BOOST_TEST((run::look_at_lock(s.layout).life == run::holder_life::running));
  }
  BOOST_TEST(!run::is_live(s.layout));
  BOOST_TEST(!run::look_at_lock(s.layout).held);
}

BOOST_AUTO_TEST_CASE(G15_who_holds_a_lock_that_was_removed_or_replaced_finds_out) {
  const scene s;
  const auto lock = run_lock::take(s.layout);
  BOOST_TEST(lock->check().has_value());
  std::filesystem::remove(s.layout.lock());
  BOOST_TEST(lock->check().error().is(errc::held));
  const auto next = run_lock::take(s.layout);
  BOOST_REQUIRE(next.has_value());
  BOOST_TEST(next->check().has_value());
  BOOST_TEST(!lock->still_ours());
}

BOOST_AUTO_TEST_CASE(G15_a_stopped_owner_is_told_of_and_replaced_and_then_fenced) {
  const scene s;
  stopped_owner first(s.layout);
  const auto refused = run_lock::take(s.layout);
  BOOST_TEST(refused.error().is(errc::held));
  BOOST_TEST(refused.error().what.find("is stopped") != std::string::npos, refused.error().what);
  BOOST_TEST(refused.error().what.find(std::to_string(first.pid())) != std::string::npos);
  {
    const auto second = run_lock::replace_stopped(s.layout);
    BOOST_REQUIRE_MESSAGE(second, (second ? "" : second.error().what));
    BOOST_TEST(second->generation() == 2u);
    BOOST_TEST(second->check().has_value());
    // A second replacer finds an owner that runs: us.
    BOOST_TEST(run_lock::replace_stopped(s.layout).error().is(errc::held));
    BOOST_TEST(second->check().has_value());
  }
  const auto third = run_lock::take(s.layout);
  BOOST_REQUIRE(third.has_value());
  BOOST_TEST(first.go_on() == stopped_owner::fenced);
  BOOST_TEST(third->check().has_value());
  BOOST_TEST(test::read_bytes(s.layout.journal()) == "before\n");
}

BOOST_AUTO_TEST_CASE(
    G15_a_replacer_that_died_before_its_copy_of_the_journal_leaves_it_to_the_next) {
  for (const bool replacing : {false, true}) {
    const scene s;
    stopped_owner first(s.layout);
    BOOST_REQUIRE(run_lock::replace_stopped(s.layout).has_value());
    BOOST_TEST(!s.said().at("journal_shared").as_bool());
    // What there was between its rename of the lock and its copy.
    const auto inode_of = [](const std::filesystem::path& file) {
      struct stat st{};
      return ::stat(file.c_str(), &st) == 0 ? st.st_ino : 0;
    };
    const auto shared = inode_of(s.layout.journal());
    const int writer = ::open(s.layout.journal().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    s.say("journal_shared", true);
    const auto next = replacing ? run_lock::replace_stopped(s.layout) : run_lock::take(s.layout);
    BOOST_REQUIRE_MESSAGE(next, (next ? "" : next.error().what));
    BOOST_TEST(next->generation() == 3u);
    BOOST_TEST(::write(writer, "late\n", 5) == 5);
    ::close(writer);
    BOOST_TEST(inode_of(s.layout.journal()) != shared);
    BOOST_TEST(test::read_bytes(s.layout.journal()) == "before\n");
    BOOST_TEST(!s.said().at("journal_shared").as_bool());
  }
}

BOOST_AUTO_TEST_CASE(G15_an_owner_that_runs_or_cannot_be_seen_is_never_replaced) {
  const scene s;
  const auto lock = run_lock::take(s.layout);
  const std::uint64_t inode = s.inode();
  BOOST_TEST(run_lock::replace_stopped(s.layout).error().is(errc::held));
  for (const auto& [key, value] : std::vector<std::pair<const char*, boost::json::value>>{
           {"host", "another-machine"}, {"boot", "another boot"}, {"start_ticks", 1}, {"pid", 1}}) {
    const boost::json::value before = s.said().at(key);
    s.say(key, value);
    BOOST_TEST((run::look_at_lock(s.layout).life != run::holder_life::stopped));
    BOOST_TEST(run_lock::replace_stopped(s.layout).error().is(errc::held));
    s.say(key, before);
  }
  BOOST_TEST(s.inode() == inode);
  BOOST_TEST(lock->check().has_value());
}

BOOST_AUTO_TEST_CASE(P8_X6_a_stopped_process_with_the_number_of_the_owner_is_not_the_owner) {
  const scene s;
  stopped_owner first(s.layout);
  for (const auto& [key, value] : std::vector<std::pair<const char*, boost::json::value>>{
           {"start_ticks", 1}, {"boot", "the boot before this one"}}) {
    const boost::json::value before = s.said().at(key);
    s.say(key, value);
    BOOST_TEST(run_lock::replace_stopped(s.layout).error().is(errc::held));
    s.say(key, before);
  }
  BOOST_TEST(run_lock::replace_stopped(s.layout).has_value());
}

BOOST_AUTO_TEST_CASE(a_new_directory_appears_with_its_lock_held_and_its_beginnings_are_swept) {
  const scene s;
  const auto runs = s.layout.root.parent_path();
  test::write_bytes(runs / "new-abcdef" / "lock", "");  // its maker died
  test::write_bytes(runs / "new-ghijkl" / "lock", "");
  std::filesystem::remove(runs / "new-ghijkl" / "lock");
  const auto lock = run_lock::take(s.layout);
  BOOST_TEST(lock->generation() == 1u);
  run::sweep_unnamed(runs);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(runs))
    left.push_back(entry.path().filename().string());
  BOOST_TEST((left == std::vector<std::string>{s.layout.root.filename().string()}));
  BOOST_TEST(lock->check().has_value());
}

BOOST_AUTO_TEST_CASE(what_an_owner_was_cut_off_in_writing_is_no_holder) {
  const scene s;
  test::write_bytes(s.layout.lock(), "{\"schema\":\"remora.lo");
  BOOST_TEST(!run::look_at_lock(s.layout).holder.has_value());
  const auto lock = run_lock::take(s.layout);
  BOOST_REQUIRE(lock.has_value());
  BOOST_TEST(lock->generation() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

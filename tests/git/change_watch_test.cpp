// Snapshots that look where they are told to, beside such as look everywhere.
#include <fcntl.h>
#include <sys/mman.h>

#include <boost/json/serialize.hpp>
#include <cstring>
#include <random>
#include <remora/core/posix.hpp>
#include <remora/git/change_watch.hpp>

#include "slot.hpp"

using namespace remora;
using remora::test::must;
using remora::test::slot;
namespace fs = std::filesystem;

namespace {

struct watched : slot {
  watched()
      : slot([](const test::test_repo& r) {
          r.write("a.txt", "one\n");
          r.write("b.txt", "one\n");
          r.write("src/c.txt", "one\n");
          r.write("src/deep/d.txt", "one\n");
          r.write("other/e.txt", "one\n");
        }) {}
  git::snapshot_rules rules(std::size_t most = 1000) const {
    git::snapshot_rules r;
    r.watch = must(git::change_watch::open(most));
    return r;
  }
  /// Snapshots until one is told that nothing has changed: an index that was just written is read
  /// again by the next.
  void begin(git::snapshotter& shots) {
    while (take(shots).files_scanned > 0) continue;
  }
  git::snapshot everywhere() { return take(git::snapshot_rules()); }
};

bool same(const git::manifest& a, const git::manifest& b) {
  return a.left_out == b.left_out && a.nested == b.nested && a.converted == b.converted &&
         a.empty_directories == b.empty_directories;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(change_watch, watched)

BOOST_AUTO_TEST_CASE(only_what_changed_is_looked_at) {
  git::snapshotter shots = open(rules());
  BOOST_TEST(take(shots).files_scanned == 5u);
  begin(shots);
  write("src/deep/d.txt", "two\n");
  write("src/new", "new\n");
  fs::remove(root / "a.txt");
  const git::snapshot told = take(shots);
  BOOST_TEST(told.files_scanned == 2u);
  BOOST_TEST((told.tree == everywhere().tree));
  BOOST_TEST(content(told, "src/deep/d.txt") == "two\n");
  BOOST_TEST(content(told, "a.txt") == "(absent)");
}

BOOST_AUTO_TEST_CASE(a_directory_that_comes_from_elsewhere_is_walked_and_watched) {
  git::snapshotter shots = open(rules());
  begin(shots);
  fs::rename(root / "src", root / "moved");
  BOOST_TEST((take(shots).tree == everywhere().tree));
  write("moved/deep/d.txt", "two\n");
  fs::create_directories(root / "x/y");
  write("x/y/z", "z\n");
  BOOST_TEST((take(shots).tree == everywhere().tree));
  write("x/y/z", "zz\n");
  const git::snapshot told = take(shots);
  BOOST_TEST(told.files_scanned == 1u);
  BOOST_TEST(content(told, "x/y/z") == "zz\n");
}

BOOST_AUTO_TEST_CASE(new_ignore_rules_and_a_new_index_make_it_look_again) {
  git::snapshotter shots = open(rules());
  write("src/deep/x.o", "object\n");
  write(".gitignore", "*.o\n");
  BOOST_TEST(content(take(shots), "src/deep/x.o") == "(absent)");
  write(".gitignore", "*.a\n");
  BOOST_TEST(content(take(shots), "src/deep/x.o") == "object\n");
  write(".gitignore", "*.b\n");
  write("src/y.b", "b\n");
  BOOST_TEST(content(take(shots), "src/y.b") == "(absent)");
  git("add -f src/y.b");
  const git::snapshot told = take(shots);
  BOOST_TEST(content(told, "src/y.b") == "b\n");
  BOOST_TEST(told.files_scanned < 5u);
}

BOOST_AUTO_TEST_CASE(what_an_index_tracks_anew_in_an_ignored_directory_is_taken) {
  write(".gitignore", "out/\n");
  git::snapshotter shots = open(rules());
  begin(shots);
  write("out/deep/x", "x\n");
  write("out/y", "y\n");
  git("add -f out/deep/x");
  const git::snapshot told = take(shots);
  BOOST_TEST(content(told, "out/deep/x") == "x\n");
  BOOST_TEST(content(told, "out/y") == "(absent)");
  BOOST_TEST((told.tree == everywhere().tree));
  write("out/deep/x", "xx\n");
  BOOST_TEST(content(take(shots), "out/deep/x") == "xx\n");
}

BOOST_AUTO_TEST_CASE(F6_when_events_are_lost_it_looks_everywhere) {
  git::snapshotter shots = open(rules());
  begin(shots);
  std::size_t most = 0;
  std::istringstream(test::read_bytes("/proc/sys/fs/inotify/max_queued_events")) >> most;
  for (std::size_t i = 0; i <= most / 2; ++i) {  // the queue takes equal neighbours for one
    fs::permissions(root / "a.txt", fs::perms::owner_read, fs::perm_options::add);
    fs::permissions(root / "b.txt", fs::perms::owner_read, fs::perm_options::add);
  }
  write("src/c.txt", "two\n");
  const git::snapshot told = take(shots);
  BOOST_TEST(told.files_scanned == 5u);
  BOOST_TEST(content(told, "src/c.txt") == "two\n");
  BOOST_TEST(take(shots).files_scanned == 0u);
}

BOOST_AUTO_TEST_CASE(F6_a_worktree_for_which_watches_do_not_suffice_is_scanned) {
  const git::snapshot_rules few = rules(6);
  git::snapshotter shots = open(few);
  begin(shots);
  watched beside;  // four directories more
  git::snapshotter others = beside.open(few);
  for (int i = 0; i < 3; ++i) {
    beside.write("src/c.txt", std::to_string(i));
    const git::snapshot scanned = beside.take(others);
    BOOST_TEST(scanned.files_scanned == 5u);
    BOOST_TEST(beside.content(scanned, "src/c.txt") == std::to_string(i));
  }
  write("src/c.txt", "two\n");
  BOOST_TEST(take(shots).files_scanned == 1u);
}

BOOST_AUTO_TEST_CASE(a_directory_that_another_worktree_has_got_is_looked_for) {
  const git::snapshot_rules both = rules();
  git::snapshotter shots = open(both);
  begin(shots);
  git::snapshotter others = open(both);
  take(others);
  write("src/c.txt", "two\n");
  BOOST_TEST(content(take(shots), "src/c.txt") == "two\n");
  BOOST_TEST(content(take(others), "src/c.txt") == "two\n");
}

BOOST_AUTO_TEST_CASE(what_no_event_tells_of_is_seen_by_a_look_everywhere) {
  git::snapshotter shots = open(rules());
  unique_fd fd(::open((root / "a.txt").c_str(), O_RDWR | O_CLOEXEC));
  void* mapped = ::mmap(nullptr, 4, PROT_WRITE, MAP_SHARED, fd.get(), 0);
  BOOST_REQUIRE(mapped != MAP_FAILED);
  fd.reset();
  begin(shots);
  std::memcpy(mapped, "two\n", 4);
  test::await_tick();
  BOOST_TEST(content(take(shots), "a.txt") == "one\n");
  const auto whole = must(shots.take(*opened, *objects, {}, git::look::everywhere));
  BOOST_TEST(content(whole, "a.txt") == "two\n");
  must(objects->barrier());
  std::memcpy(mapped, "six\n", 4);  // the page is dirty still: no time changes
  ::munmap(mapped, 4);
  const auto last = must(shots.take(*opened, *objects, {}, git::look::everywhere));
  BOOST_TEST(content(last, "a.txt") == "six\n");
}

BOOST_AUTO_TEST_CASE(a_large_file_that_is_mapped_is_read_by_each_look_everywhere) {
  constexpr std::size_t size = 5 << 20;
  write("large", std::string(size, 'x'));
  git::snapshotter shots = open(rules());
  const unique_fd fd(::open((root / "large").c_str(), O_RDWR | O_CLOEXEC));
  auto* mapped =
      static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  BOOST_REQUIRE(mapped != MAP_FAILED);
  mapped[0] = 'a';  // the page is dirty: from here on no time changes
  const git::snapshot first = take(shots);
  const auto again = must(shots.take(*opened, *objects, {}, git::look::everywhere));
  BOOST_TEST((again.tree == first.tree));
  mapped[1] = 'z';
  const auto last = must(shots.take(*opened, *objects, {}, git::look::everywhere));
  BOOST_TEST(content(last, "large") == "az" + std::string(size - 2, 'x'));
  ::munmap(mapped, size);
}

BOOST_AUTO_TEST_CASE(a_change_under_another_name_of_a_file_is_seen) {
  git::snapshotter shots = open(rules());
  begin(shots);
  write(".gitignore", "ignored\n");
  fs::create_hard_link(root / "a.txt", root / "ignored");
  BOOST_TEST(content(take(shots), "a.txt") == "one\n");
  write("ignored", "two\n");
  const git::snapshot told = take(shots);
  BOOST_TEST(content(told, "a.txt") == "two\n");
  fs::create_hard_link(root / "b.txt", root / "src/b.txt");
  write("src/b.txt", "two\n");
  BOOST_TEST(content(take(shots), "b.txt") == "two\n");
  write("src/b.txt", "six\n");
  const git::snapshot known = take(shots);
  BOOST_TEST(content(known, "b.txt") == "six\n");
  BOOST_TEST(known.files_scanned == 3u);  // those of two names
  fs::remove(root / "src/b.txt");
  fs::create_hard_link(root / "src/c.txt", root / "src/b.txt");  // another file by that name
  take(shots);
  write("src/b.txt", "two\n");
  BOOST_TEST(content(take(shots), "src/c.txt") == "two\n");
  fs::remove(root / "src/b.txt");
  take(shots);
  BOOST_TEST(take(shots).files_scanned == 1u);
}

BOOST_AUTO_TEST_CASE(what_a_snapshot_named_and_never_was_durable_is_written_again) {
  git::snapshotter shots = open(rules());
  begin(shots);
  write("src/deep/d.txt", "two\n");
  must(shots.take(*opened, *objects, {}));
  objects.emplace(*opened);  // its objects go with it
  const git::snapshot told = take(shots);
  BOOST_TEST(content(told, "src/deep/d.txt") == "two\n");
  repo.git("rev-list --objects " + told.tree.hex());
}

BOOST_AUTO_TEST_CASE(a_snapshot_that_failed_does_not_use_up_what_was_told) {
  git::snapshotter shots = open(rules());
  begin(shots);
  write("src/c.txt", "two\n");
  std::stop_source stop;
  stop.request_stop();
  BOOST_TEST(shots.take(*opened, *objects, stop.get_token()).has_error());
  BOOST_TEST(content(take(shots), "src/c.txt") == "two\n");
}

namespace {

/// What agents do to a worktree, at random, on few names, so that they meet.
class mutator {
 public:
  mutator(fs::path root, std::uint32_t seed) : root_(std::move(root)), random_(seed) {}

  void change() {
    const fs::path at = any();
    std::error_code ec;
    switch (pick(14)) {
      case 0:
      case 1:
      case 2:
        write(at, std::to_string(pick(1000)));
        break;
      case 3:
        append(at);
        break;
      case 4:
        fs::remove(at, ec);
        break;
      case 5:
        fs::create_directories(at, ec);
        break;
      case 6:
        if (pick(4) == 0) fs::remove_all(at, ec);
        break;
      case 7:
        fs::rename(at, any(), ec);
        break;
      case 8:
        fs::permissions(at, fs::perms::owner_exec,
                        pick(2) ? fs::perm_options::add : fs::perm_options::remove, ec);
        break;
      case 9:
        fs::create_symlink("target" + std::to_string(pick(3)), at, ec);
        break;
      case 10:
        ::mkfifo(at.c_str(), 0600);
        break;
      case 11:
        if (pick(10) == 0) write(at.parent_path() / ".gitignore", rule());
        break;
      case 12:
        if (pick(20) == 0) fs::create_directories(at / ".git/refs", ec);
        break;
      case 13: {  // by a name that stays, so that somebody is told of it
        const fs::path other = root_ / ("link" + std::to_string(pick(3)));
        fs::create_hard_link(at, other, ec);
        if (ec) append(other);
        break;
      }
    }
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  fs::path any() {
    fs::path at = root_;
    for (int depth = pick(4); depth >= 0; --depth) at /= std::string(1, "abcde"[pick(5)]);
    return at;
  }
  std::string rule() {
    return std::string(pick(3) ? "" : "!") + "abcde"[pick(5)] + (pick(2) ? "\n" : "/\n");
  }
  static void put(const fs::path& at, const std::string& bytes, int flags) {
    const unique_fd fd(
        ::open(at.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CREAT | flags, 0644));
    if (fd) (void)write_all(fd.get(), bytes);
  }
  void write(const fs::path& at, const std::string& bytes) { put(at, bytes, O_TRUNC); }
  void append(const fs::path& at) { put(at, "more\n", O_APPEND); }

  fs::path root_;
  std::mt19937 random_;
};

}  // namespace

/// `test_git --run_test=change_watch -- OPERATIONS SEED` for more.
BOOST_AUTO_TEST_CASE(told_and_looking_everywhere_agree_whatever_happens) {
  const auto& suite = boost::unit_test::framework::master_test_suite();
  const int operations = suite.argc > 1 ? std::stoi(suite.argv[1]) : 10'000;
  const auto seed = static_cast<std::uint32_t>(suite.argc > 2 ? std::stoul(suite.argv[2]) : 1);
  constexpr int most_at_a_time = 40;
  std::mt19937 random(seed);
  mutator agent(root, seed);
  git::snapshotter told = open(rules());
  git::snapshotter whole = open();
  std::uint64_t looked_at = 0, all = 0;
  for (int done = 0; done < operations;) {
    const int now = std::uniform_int_distribution<int>(0, most_at_a_time)(random);
    for (int i = 0; i < now; ++i) agent.change();
    if (random() % 8 == 0)
      test::test_repo::try_git(root, (random() % 2 ? "add -fA " : "rm -rq --cached ") +
                                         std::string(1, "abcde"[random() % 5]));
    done += now + 1;
    const git::snapshot a = take(told), b = take(whole);
    looked_at += a.files_scanned;
    all += b.files_scanned;
    BOOST_REQUIRE_MESSAGE(a.tree == b.tree, "after " << done << " operations of seed " << seed
                                                     << ": " << a.tree.hex() << " and "
                                                     << b.tree.hex());
    BOOST_REQUIRE_MESSAGE(same(a.manifest, b.manifest),
                          "after " << done << " operations of seed " << seed << ": "
                                   << git::to_json(a.manifest) << " and "
                                   << git::to_json(b.manifest));
  }
  BOOST_TEST(looked_at < all / 2);
}

BOOST_AUTO_TEST_SUITE_END()

#include <remora/git/worktree.hpp>

#include <sys/stat.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <repo.hpp>
#include <thread>

#include <failing_call.hpp>

using namespace remora;
using namespace remora::git;
using remora::test::read_bytes;
using remora::test::test_repo;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

const std::string branch = "refs/heads/remora/run/task";

struct worktree_fixture {
  test_repo files;
  oid head;
  std::optional<repository> opened;
  fs::path root = files.beside("slots/1");

  worktree_fixture() {
    files.write("f", "x");
    files.write("dir/g", "y");
    head = files.commit("one");
    auto repo = repository::discover(files.path());
    if (!repo) throw std::runtime_error(repo.error().what);
    opened.emplace(std::move(*repo));
  }
  repository& repo() { return *opened; }
  worktree add() {
    auto made = add_worktree(repo(), root, branch, head, {});
    if (!made) throw std::runtime_error(made.error().what);
    return *made;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(worktrees, worktree_fixture)

BOOST_AUTO_TEST_CASE(a_worktree_whose_entry_cannot_be_read_is_not_taken_for_gone) {
  const worktree made = add();
  const fs::path says_where = made.git_dir / "gitdir", aside = made.git_dir / "aside";
  fs::rename(says_where, aside);
  fs::create_symlink("gitdir", says_where);  // it leads to itself: reading fails
  const auto got = open_worktree(repo(), root);
  BOOST_REQUIRE(got.has_error());
  BOOST_TEST(!got.error().is(errc::vanished));
  BOOST_TEST(reclaim_worktree(repo(), branch, root.parent_path()).has_error());
  fs::rename(aside, says_where);
  BOOST_TEST(open_worktree(repo(), root).has_value());
  BOOST_TEST(reclaim_worktree(repo(), branch, root.parent_path()).value().has_value());
}

BOOST_AUTO_TEST_CASE(G10_a_locked_worktree_whose_directory_was_deleted_is_no_obstacle) {
  add();
  fs::remove_all(root);
  const auto again = add_worktree(repo(), root, "refs/heads/remora/run/other", head, {});
  BOOST_REQUIRE_MESSAGE(again, (again ? "" : again.error().what));
  BOOST_TEST(read_bytes(root / "dir/g") == "y");
  BOOST_TEST(files.git("worktree list").find("prunable") == std::string::npos);
  BOOST_TEST(remove_worktree(repo(), root, branch).has_value());  // it was that task's before
  BOOST_TEST(fs::exists(root / "dir/g"));
  BOOST_TEST(remove_worktree(repo(), root, "refs/heads/remora/run/other").has_value());
  BOOST_TEST(!fs::exists(root));
}

BOOST_AUTO_TEST_CASE(G9_a_worktree_is_a_clean_checkout_on_its_own_branch_locked_against_pruning) {
  const worktree tree = add();
  BOOST_TEST(tree.root == root);
  BOOST_TEST(tree.git_dir == files.path() / ".git/worktrees/1");
  BOOST_TEST(read_bytes(root / "dir/g") == "y");
  BOOST_TEST(files.git_in(root, "symbolic-ref HEAD") == branch);
  BOOST_TEST(files.git_in(root, "status --porcelain") == "");
  BOOST_TEST(read_bytes(tree.git_dir / "locked") == "remora/run/task\n");
  BOOST_TEST(check_worktree(tree).has_value());
  struct stat st{};
  BOOST_REQUIRE(::stat((files.path() / ".git/remora").c_str(), &st) == 0);
  BOOST_TEST((st.st_mode & 0777) == 0700u);
}

BOOST_AUTO_TEST_CASE(no_hook_of_the_repository_runs_at_a_checkout) {
  write_bytes(files.path() / ".git/hooks/post-checkout", "#!/bin/sh\ntouch ran\n");
  ::chmod((files.path() / ".git/hooks/post-checkout").c_str(), 0755);
  add();
  BOOST_TEST(!fs::exists(root / "ran"));
}

BOOST_AUTO_TEST_CASE(a_worktree_is_opened_again_with_the_same_identity) {
  const worktree made = add();
  const auto again = open_worktree(repo(), root / "");
  BOOST_REQUIRE(again.has_value());
  BOOST_TEST(again->root == made.root);
  BOOST_TEST(again->git_dir == made.git_dir);
  BOOST_TEST(again->inode == made.inode);
  BOOST_TEST(open_worktree(repo(), files.path()).error().is(errc::vanished));
}

BOOST_AUTO_TEST_CASE(G4_a_failed_add_leaves_neither_branch_nor_directory_nor_entry) {
  const oid missing = oid::parse(std::string(40, '1')).value();
  const auto made = add_worktree(repo(), root, branch, missing, {});
  BOOST_REQUIRE(made.has_error());
  BOOST_TEST(made.error().is(errc::repository));
  BOOST_TEST(!fs::exists(root));
  BOOST_TEST(files.git("branch --list 'remora/*'") == "");
  BOOST_TEST(files.git("worktree list").find("slots") == std::string::npos);
  add();
}

/// A `git` in front of the one in PATH, as long as this lives.
class git_wrapper {
 public:
  explicit git_wrapper(const std::string& script) : path_(std::getenv("PATH")) {
    write_bytes(dir_ / "git", "#!/bin/sh\nPATH='" + path_ + "'\n" + script);
    ::chmod((dir_ / "git").c_str(), 0755);
    ::setenv("PATH", (dir_.path().string() + ":" + path_).c_str(), 1);
  }
  git_wrapper(const git_wrapper&) = delete;
  git_wrapper& operator=(const git_wrapper&) = delete;
  ~git_wrapper() { ::setenv("PATH", path_.c_str(), 1); }

 private:
  test::temp_dir dir_;
  std::string path_;
};

BOOST_AUTO_TEST_CASE(G4_an_add_whose_git_is_killed_says_so_and_leaves_nothing_to_stop_the_next) {
  const std::string lock = files.path().string() + "/.git/" + branch + ".lock";
  const std::string entries = files.path().string() + "/.git/worktrees", begun = entries + "/1";
  const std::string scripts[] = {
      // as its entry grows
      "mkdir -p " + begun + "\nkill -9 $$\n",
      "mkdir -p " + begun + "\n: > " + begun + "/locked\nkill -9 $$\n",
      "mkdir -p " + begun + "\necho remora/run/task > " + begun + "/locked\nkill -9 $$\n",
      "mkdir -p " + begun + "7\necho remora/run/task > " + begun + "7/locked\n: > " + begun +
          "7/gitdir\nkill -9 $$\n",
      "kill -9 $$\n",                           // before it did anything
      "git \"$@\" 2> /dev/null\nkill -9 $$\n",  // when all was there
      ": > " + lock + "\nkill -9 $$\n",         // while it made the branch
  };
  for (const std::string& script : scripts) {
    fs::create_directories(fs::path(lock).parent_path());
    {
      const git_wrapper killed(script);
      const auto made = add_worktree(repo(), root, branch, head, {});
      BOOST_REQUIRE(made.has_error());
      BOOST_TEST(made.error().is(errc::killed));
      BOOST_TEST(made.error().what ==
                 "git could not make the worktree " + root.string() + ": killed by SIGKILL");
    }
    BOOST_TEST(!fs::exists(root));
    BOOST_TEST(files.git("branch --list 'remora/*'") == "");
    BOOST_TEST(files.git("worktree list").find("slots") == std::string::npos);
    BOOST_TEST(!fs::exists(entries));
    add();
    BOOST_TEST(remove_worktree(repo(), root, branch).has_value());
    files.git("branch -D remora/run/task");
  }
}

BOOST_AUTO_TEST_CASE(
    G4_an_add_is_cut_short_where_a_git_of_git_is_killed_and_not_where_git_refuses) {
  {
    const git_wrapper killed("echo 'error: reset died of signal 9' >&2\nexit 137\n");
    const auto made = add_worktree(repo(), root, branch, head, {});
    BOOST_TEST(made.error().is(errc::killed));
    BOOST_TEST(made.error().what.ends_with(": error: reset died of signal 9"), made.error().what);
  }
  const git_wrapper silent("exit 137\n");
  const auto made = add_worktree(repo(), root, branch, head, {});
  BOOST_TEST(made.error().is(errc::repository));
  BOOST_TEST(made.error().what.ends_with(": exited with 137"), made.error().what);
}

BOOST_AUTO_TEST_CASE(a_stopped_add_leaves_nothing) {
  std::stop_source stop;
  stop.request_stop();
  const auto made = add_worktree(repo(), root, branch, head, stop.get_token());
  BOOST_REQUIRE(made.has_error());
  BOOST_TEST(made.error().is(errc::stopped));
  BOOST_TEST(!fs::exists(root));
  BOOST_TEST(files.git("branch --list 'remora/*'") == "");
}

BOOST_AUTO_TEST_CASE(G4_many_adds_at_once_all_succeed) {
  constexpr std::size_t count = 4;
  std::array<bool, count> made{};
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < count; ++i)
      threads.emplace_back([&, i] {
        const auto own = repo().reopen();
        const std::string n = std::to_string(i);
        made[i] = own && add_worktree(*own, files.beside("slots/" + n),
                                      "refs/heads/remora/run/t" + n, head, {})
                             .has_value();
      });
  }
  for (const bool one : made) BOOST_TEST(one);
  BOOST_TEST(!fs::exists(files.path() / ".git/config.lock"));
}

BOOST_AUTO_TEST_CASE(an_existing_directory_or_branch_is_not_taken_over) {
  write_bytes(root / "mine", "x");
  BOOST_TEST(add_worktree(repo(), root, branch, head, {}).error().is(errc::repository));
  BOOST_TEST(read_bytes(root / "mine") == "x");
  fs::remove_all(root);
  const std::string other = files.git("commit-tree -m other HEAD^{tree}");
  files.git("branch remora/run/task " + other);
  BOOST_TEST(add_worktree(repo(), root, branch, head, {}).error().is(errc::ref_moved));
  BOOST_TEST(files.git("rev-parse remora/run/task") == other);
}

BOOST_AUTO_TEST_CASE(G6_a_packed_branch_at_the_commit_is_taken_beside_a_stuck_lock) {
  files.git("branch remora/run/task");
  files.git("pack-refs --all");
  write_bytes(files.path() / ".git/packed-refs.lock", "");
  const auto made = add_worktree(repo(), root, branch, head, {});
  BOOST_REQUIRE(made.has_value());
  BOOST_TEST(files.git("-C " + root.string() + " symbolic-ref HEAD") == branch);
}

BOOST_AUTO_TEST_CASE(W21_a_worktree_that_was_replaced_moved_or_redirected_has_vanished) {
  const worktree tree = add();
  fs::rename(root, files.beside("elsewhere"));
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::create_directory(root);
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::remove(root);
  fs::create_directory_symlink(files.beside("elsewhere"), root);
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::remove(root);
  fs::rename(files.beside("elsewhere"), root);
  BOOST_TEST(check_worktree(tree).has_value());
  const std::string pointer = read_bytes(root / ".git");
  write_bytes(root / ".git", "gitdir: /etc\n");
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::remove(root / ".git");
  BOOST_REQUIRE(::mkfifo((root / ".git").c_str(), 0600) == 0);
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::remove(root / ".git");
  fs::create_symlink("/etc/passwd", root / ".git");
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  fs::remove(root / ".git");
  write_bytes(root / ".git", std::string(1 << 20, 'x'));
  BOOST_TEST(check_worktree(tree).error().is(errc::vanished));
  write_bytes(root / ".git", pointer);
  BOOST_TEST(check_worktree(tree).has_value());
}

BOOST_AUTO_TEST_CASE(a_removed_worktree_leaves_its_branch_and_nothing_else) {
  const worktree tree = add();
  write_bytes(root / "dirty", "x");
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::exists(root));
  BOOST_TEST(!fs::exists(tree.git_dir));
  BOOST_TEST(!fs::exists(files.path() / ".git/worktrees"));
  BOOST_TEST(fs::is_empty(files.path() / ".git/remora/worktrees"));
  BOOST_TEST(files.git("rev-parse remora/run/task") == head.hex());
  BOOST_TEST(remove_worktree(repo(), root).has_value());
}

BOOST_AUTO_TEST_CASE(G10_a_worktree_is_removed_whatever_an_agent_did_to_it) {
  const worktree tree = add();
  files.git("worktree unlock " + root.string());
  fs::remove_all(tree.git_dir);
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::exists(root));
  files.git("branch -D remora/run/task");
  add();
  fs::remove_all(root);
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(files.git("worktree list").find("slots") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(C4_removal_never_follows_a_symbolic_link_and_enters_read_only_directories) {
  add();
  const fs::path outside = files.beside("outside");
  write_bytes(outside / "precious", "x");
  fs::create_directory_symlink(outside, root / "link");
  write_bytes(root / "locked/in/file", "x");
  ::chmod((root / "locked/in").c_str(), 0500);
  ::chmod((root / "locked").c_str(), 0);
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::exists(root));
  BOOST_TEST(read_bytes(outside / "precious") == "x");
  files.git("branch -D remora/run/task");
  add();
  fs::remove_all(root);
  fs::create_directory_symlink(outside, root);
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::is_symlink(root));
  BOOST_TEST(read_bytes(outside / "precious") == "x");
}

BOOST_AUTO_TEST_CASE(W7_directories_deeper_than_any_path_are_removed) {
  add();
  BOOST_REQUIRE(test::shell(root,
                            "d=dddddddddddddddddddddddddddddddddddddddddddddddddd\n"
                            "i=0; while [ $i -lt 120 ]; do mkdir $d && cd -P $d || exit 1; "
                            "i=$((i+1)); done; touch end")
                    .status == 0);
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::exists(root));
}

BOOST_AUTO_TEST_CASE(G10_a_removal_that_was_cut_off_is_finished) {
  const worktree tree = add();
  fs::rename(root, root.parent_path() / ".remora-removed-1");
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(fs::is_empty(root.parent_path()));
  BOOST_TEST(!fs::exists(tree.git_dir));
  BOOST_TEST(made_worktrees(repo()).empty());
}

BOOST_AUTO_TEST_CASE(F5_a_worktree_whose_entry_cannot_be_looked_for_is_not_forgotten) {
  const worktree tree = add();
  fs::remove_all(root);
  {
    const test::failing_call failing("openat", "/.git/worktrees", EMFILE, 9);
    BOOST_TEST(remove_worktree(repo(), root).error().is_errno(EMFILE));
    BOOST_TEST(failing.left() < 9);
  }
  BOOST_TEST(remove_worktree(repo(), root).has_value());
  BOOST_TEST(!fs::exists(tree.git_dir));
}

BOOST_AUTO_TEST_CASE(F7_a_worktree_of_which_the_branch_cannot_be_read_is_not_taken_for_anothers) {
  const worktree tree = add();
  const std::string other = branch + "-other";
  {
    const test::failing_call failing("openat", "/worktrees/1", EACCES, 4);
    BOOST_TEST(reclaim_worktree(repo(), branch, root.parent_path()).error().is_errno(EACCES));
    BOOST_TEST(is_made_for_another(repo(), root, branch).error().is_errno(EACCES));
    BOOST_TEST(is_made_for_another(repo(), root, other).error().is_errno(EACCES));
    BOOST_TEST(remove_worktree(repo(), root, other).error().is_errno(EACCES));
    BOOST_TEST(failing.left() == 0);
  }
  BOOST_TEST(reclaim_worktree(repo(), branch, root.parent_path()).value().has_value());
  BOOST_TEST(!is_made_for_another(repo(), root, branch).value());
  BOOST_TEST(remove_worktree(repo(), root, other).has_value());
  BOOST_TEST(fs::exists(root / "f"));
}

BOOST_AUTO_TEST_CASE(F7_a_worktree_that_cannot_be_looked_at_has_not_vanished) {
  const worktree tree = add();
  for (const char* end : {"/slots/1", "/worktrees"}) {
    const test::failing_call failing("openat", end, EACCES, 1);
    BOOST_TEST(open_worktree(repo(), root).error().is_errno(EACCES), end);
  }
  {
    const test::failing_call failing("openat", "/worktrees/1", EMFILE, 1);
    BOOST_TEST(remove_stale_locks(repo(), tree, branch).error().is_errno(EMFILE));
  }
  BOOST_TEST(open_worktree(repo(), root).has_value());
}

BOOST_AUTO_TEST_CASE(G11_a_directory_that_remora_did_not_make_is_never_removed) {
  write_bytes(root / "mine", "x");
  BOOST_TEST(remove_worktree(repo(), root).error().is(errc::repository));
  files.git("worktree add -q -b mine ../users");
  BOOST_TEST(remove_worktree(repo(), files.beside("users")).error().is(errc::repository));
  BOOST_TEST(remove_worktree(repo(), files.path()).error().is(errc::repository));
  BOOST_TEST(fs::exists(files.beside("users/f")));
  BOOST_TEST(read_bytes(root / "mine") == "x");
}

BOOST_AUTO_TEST_CASE(F1_an_entry_that_a_power_cut_emptied_can_be_removed) {
  const worktree tree = add();
  write_bytes(tree.git_dir / "gitdir", "");
  BOOST_REQUIRE(remove_broken_entry(repo(), tree.git_dir));
  BOOST_TEST(!fs::exists(tree.git_dir));
  fs::remove_all(root);
  files.git("branch -q -D remora/run/task");
  BOOST_TEST(add_worktree(repo(), root, branch, head, {}).has_value());
}

BOOST_AUTO_TEST_CASE(G21_locks_of_dead_processes_go_and_those_of_others_stay) {
  const worktree tree = add();
  write_bytes(tree.git_dir / "index.lock", "");
  write_bytes(tree.git_dir / "HEAD.lock", "");
  write_bytes(files.path() / ".git/refs/heads/remora/run/task.lock", "");
  write_bytes(files.path() / ".git/index.lock", "");
  write_bytes(files.path() / ".git/packed-refs.lock", "");
  const auto removed = remove_stale_locks(repo(), tree, branch).value();
  BOOST_TEST(removed == (std::vector<std::string>{"HEAD.lock", "index.lock", branch + ".lock"}),
             boost::test_tools::per_element());
  BOOST_TEST(fs::exists(files.path() / ".git/index.lock"));
  BOOST_TEST(fs::exists(files.path() / ".git/packed-refs.lock"));
  BOOST_TEST(fs::exists(tree.git_dir / "locked"));
  write_bytes(root / "new", "x");
  files.git_in(root, "add new");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(copies)

BOOST_AUTO_TEST_CASE(W18_ignored_files_and_directories_are_copied_with_modes_and_links) {
  const test::temp_dir dir;
  const fs::path from = dir / "from", to = dir / "to";
  write_bytes(from / ".env", "KEY=1");
  write_bytes(from / "build/out/a.o", std::string(200'000, 'o'));
  write_bytes(from / "build/run", "#!/bin/sh\n");
  ::chmod((from / "build/run").c_str(), 0755);
  fs::create_symlink("../../etc", from / "build/link");
  BOOST_REQUIRE(::mkfifo((from / "build/pipe").c_str(), 0600) == 0);
  fs::create_directory(to);
  const auto missing = copy_ignored(from, to, {".env", "build/", "none", "no/where"}, {}).value();
  BOOST_TEST(missing == (std::vector<std::string>{"none", "no/where"}),
             boost::test_tools::per_element());
  BOOST_TEST(read_bytes(to / ".env") == "KEY=1");
  BOOST_TEST(read_bytes(to / "build/out/a.o").size() == 200'000u);
  BOOST_TEST(fs::read_symlink(to / "build/link") == "../../etc");
  BOOST_TEST((fs::status(to / "build/run").permissions() == fs::perms(0755)));
  BOOST_TEST(!fs::exists(to / "build/pipe"));
  BOOST_TEST((fs::last_write_time(to / ".env") == fs::last_write_time(from / ".env")));
  BOOST_TEST(!fs::exists(to / "no"));
}

BOOST_AUTO_TEST_CASE(a_copy_never_overwrites_what_is_in_the_worktree) {
  const test::temp_dir dir;
  write_bytes(dir / "from/d/kept", "theirs");
  write_bytes(dir / "from/d/new", "theirs");
  write_bytes(dir / "to/d/kept", "ours");
  BOOST_TEST(copy_ignored(dir / "from", dir / "to", {"d"}, {}).value().empty());
  BOOST_TEST(read_bytes(dir / "to/d/kept") == "ours");
  BOOST_TEST(read_bytes(dir / "to/d/new") == "theirs");
}

BOOST_AUTO_TEST_CASE(C4_a_copy_neither_leaves_the_checkout_nor_writes_through_links) {
  const test::temp_dir dir;
  write_bytes(dir / "from/a/f", "x");
  write_bytes(dir / "secret", "s");
  fs::create_directories(dir / "to");
  fs::create_directories(dir / "outside");
  for (const char* bad : {"../secret", "a/../../secret", "/etc/passwd", "", ".", ".git/config"})
    BOOST_TEST(copy_ignored(dir / "from", dir / "to", {bad}, {}).error().is(errc::usage), bad);
  fs::create_directory_symlink(dir / "outside", dir / "to/a");
  BOOST_TEST(copy_ignored(dir / "from", dir / "to", {"a/f"}, {}).has_error());
  BOOST_TEST(copy_ignored(dir / "from", dir / "to", {"a"}, {}).has_error());
  BOOST_TEST(fs::is_empty(dir / "outside"));
}

BOOST_AUTO_TEST_CASE(a_copy_stops_between_files) {
  const test::temp_dir dir;
  write_bytes(dir / "from/f", "x");
  fs::create_directories(dir / "to");
  std::stop_source stop;
  stop.request_stop();
  const auto copied = copy_ignored(dir / "from", dir / "to", {"f"}, stop.get_token());
  BOOST_TEST(copied.error().is(errc::stopped));
}

BOOST_AUTO_TEST_CASE(the_include_file_gives_its_lines_without_comments) {
  const test::temp_dir dir;
  BOOST_TEST(worktree_include(dir.path()).empty());
  write_bytes(dir / ".worktreeinclude", "# what\n.env\r\n\n  config/local.yml  \n");
  BOOST_TEST(worktree_include(dir.path()) == (std::vector<std::string>{".env", "config/local.yml"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

// What a snapshot takes of HEAD, the index, operations in progress and the stash; and what it does
// where they, or the worktree, are not what they were.
#include <sys/wait.h>

#include <failing_call.hpp>
#include "slot.hpp"

using namespace remora;
using namespace remora::test;

namespace {

/// Runs `check` as an ordinary user; true if it returned true there.
template <class Check>
bool as_nobody(Check check) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned nobody = 65534;
    if (::geteuid() == 0 && (::setgid(nobody) != 0 || ::setuid(nobody) != 0)) ::_exit(2);
    bool good = false;
    try {
      good = check();
    } catch (...) {
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(snapshot_state)

BOOST_AUTO_TEST_CASE(W4_unreadable_files_and_directories_are_listed_and_stay_captured) {
  slot s([](const test_repo& r) {
    r.write("locked", "l");
    r.write("closed/file", "c");
  });
  s.write("new", "n");
  git::snapshotter shots = s.open();
  s.take(shots);
  shell(s.repo.beside(""), "chmod -R a+rwX .");
  for (const char* name : {"locked", "new", "closed"}) ::chmod((s.root / name).c_str(), 0);
  const bool good = as_nobody([&] {
    // Ownership is checked when a repository is opened: this one was opened before.
    const auto taken = s.take(shots);
    return reason(taken, "locked") == "unreadable" && reason(taken, "new") == "unreadable" &&
           reason(taken, "closed") == "unreadable" && s.content(taken, "locked") == "l" &&
           s.content(taken, "closed/file") == "c" && s.content(taken, "new") == "n";
  });
  BOOST_TEST(good);
  for (const char* name : {"locked", "new", "closed"}) ::chmod((s.root / name).c_str(), 0755);
}

BOOST_AUTO_TEST_CASE(W4_an_error_that_may_pass_fails_one_snapshot_and_what_stays_is_left_out) {
  slot s;
  s.write("a.txt", "changed\n");
  s.write("bad", "b");
  s.write("fine", "f");
  git::snapshotter shots = s.open();
  for (const char* call : {"pread", "openat"}) {
    failing_call twice(call, "bad", EIO, 2);
    const auto failed = shots.take(*s.opened, *s.objects, {});
    BOOST_REQUIRE(failed.has_error());
    BOOST_TEST(failed.error().what.find("bad") != std::string::npos, failed.error().what);
    auto taken = s.take(shots);
    BOOST_TEST(reason(taken, "bad") == "unreadable");
    BOOST_TEST(s.content(taken, "fine") == "f");
    BOOST_TEST(s.content(taken, "a.txt") == "changed\n");
    taken = s.take(shots);
    BOOST_TEST(taken.manifest.left_out.empty());
    BOOST_TEST(s.content(taken, "bad") == "b");
    s.write("bad", "b");  // to be read again
  }
  failing_call once("openat", "bad", EIO, 1);
  BOOST_TEST(shots.take(*s.opened, *s.objects, {}).has_error());
  BOOST_TEST(s.take(shots).manifest.left_out.empty());
}

BOOST_AUTO_TEST_CASE(W4_many_files_on_a_bad_disk_fail_one_snapshot) {
  slot s;
  s.write("one/bad", "1");
  s.write("two/bad", "2");
  git::snapshotter shots = s.open();
  failing_call all("pread", "bad", EIO, 1000);
  BOOST_TEST(shots.take(*s.opened, *s.objects, {}).has_error());
  BOOST_TEST(s.take(shots).manifest.left_out.size() == 2u);
}

BOOST_AUTO_TEST_CASE(F5_without_descriptors_or_memory_there_is_no_snapshot) {
  slot s;
  s.write("dir/file", "f");
  git::snapshotter shots = s.open();
  for (const int lack : {EMFILE, ENFILE, ENOMEM})
    for (const char* path : {"file", "dir"}) {
      failing_call twice("openat", path, lack, 2);
      BOOST_TEST(shots.take(*s.opened, *s.objects, {}).has_error());
      const auto again = shots.take(*s.opened, *s.objects, {});
      BOOST_REQUIRE(again.has_error());
      BOOST_TEST(again.error().is_errno(lack));
      BOOST_TEST(!again.error().is(errc::vanished));
    }
  failing_call interrupted("openat", "file", EINTR, 5);
  const auto taken = s.take(shots);
  BOOST_TEST(taken.manifest.left_out.empty());
  BOOST_TEST(s.content(taken, "dir/file") == "f");
}

BOOST_AUTO_TEST_CASE(W4_a_file_without_permission_is_left_out_at_once) {
  slot s;
  s.write("locked", "l");
  failing_call refused("openat", "locked", EACCES, 1);
  BOOST_TEST(reason(s.take(), "locked") == "unreadable");
}

BOOST_AUTO_TEST_CASE(W21_a_worktree_that_is_gone_is_an_error_and_the_cache_survives) {
  slot s;
  git::snapshotter shots = s.open();
  const auto first = s.take(shots);
  const auto aside = s.repo.beside("aside");
  std::filesystem::rename(s.root, aside);
  auto taken = shots.take(*s.opened, *s.objects, {});
  BOOST_REQUIRE(taken.has_error());
  BOOST_TEST(taken.error().is(errc::vanished));
  std::filesystem::create_directories(s.root);
  write_bytes(s.root / ".git", read_bytes(aside / ".git"));
  taken = shots.take(*s.opened, *s.objects, {});
  BOOST_REQUIRE(taken.has_error());
  BOOST_TEST(taken.error().is(errc::vanished));
  std::filesystem::remove_all(s.root);
  std::filesystem::rename(aside, s.root);
  std::filesystem::rename(s.root / ".git", aside);
  taken = shots.take(*s.opened, *s.objects, {});
  BOOST_REQUIRE(taken.has_error());
  BOOST_TEST(taken.error().is(errc::vanished));
  std::filesystem::rename(aside, s.root / ".git");
  BOOST_TEST((s.take(shots).tree == first.tree));
}

BOOST_AUTO_TEST_CASE(a_stop_publishes_nothing) {
  slot s;
  git::snapshotter shots = s.open();
  std::stop_source stop;
  stop.request_stop();
  const auto taken = shots.take(*s.opened, *s.objects, stop.get_token());
  BOOST_REQUIRE(taken.has_error());
  BOOST_TEST(taken.error().is(errc::stopped));
  BOOST_TEST(s.content(s.take(shots), "a.txt") == "one\n");
}

BOOST_AUTO_TEST_CASE(C2_a_git_file_that_points_elsewhere_is_reported_and_not_followed) {
  slot s;
  test_repo other;
  other.write("stolen", "s");
  other.git("config core.worktree /etc");
  write_bytes(s.root / ".git", "gitdir: " + (other.path() / ".git").string() + "\n");
  const auto taken = s.take();
  BOOST_TEST(s.paths(taken) == names{"a.txt"}, boost::test_tools::per_element());
  BOOST_TEST(reason(taken, ".git") != "");
  BOOST_TEST((taken.head == git::head_state{s.base, task_branch}));
}

BOOST_AUTO_TEST_CASE(G19_only_the_branchs_own_stash_entries_are_ours) {
  slot s;
  s.write("a.txt", "mine\n");
  s.git("stash push -q");
  const git::oid mine = s.repo.id("refs/stash");
  s.write("a.txt", "mine too\n");
  s.git("stash push -q -m note");
  const git::oid second = s.repo.id("refs/stash");
  s.repo.write("a.txt", "users\n");
  s.repo.git("stash push -q");
  const auto taken = s.take();
  BOOST_TEST((taken.stashes == std::vector<git::oid>{second, mine}));
  BOOST_TEST(s.objects->is_durable(mine));
}

BOOST_AUTO_TEST_CASE(G20_a_fifo_at_the_index_costs_the_staged_state_only) {
  slot s;
  std::filesystem::remove(s.tree.git_dir / "index");
  BOOST_REQUIRE(::mkfifo((s.tree.git_dir / "index").c_str(), 0600) == 0);
  s.write("b", "b");
  const auto taken = s.take();
  BOOST_TEST(s.paths(taken) == (names{"a.txt", "b"}), boost::test_tools::per_element());
  BOOST_TEST(!taken.index.known);
  BOOST_TEST(taken.index.note != "");
}

BOOST_AUTO_TEST_CASE(G20_garbage_and_split_indexes_are_noted) {
  slot s;
  write_bytes(s.tree.git_dir / "index", "DIRCgarbage");
  BOOST_TEST(!s.take().index.known);
  std::filesystem::remove(s.tree.git_dir / "index");
  s.git("reset -q");
  s.git("update-index --split-index");
  const auto taken = s.take();
  BOOST_TEST(!taken.index.known);
  BOOST_TEST(taken.index.note != "");
  BOOST_TEST(s.content(taken, "a.txt") == "one\n");
}

BOOST_AUTO_TEST_CASE(G20_what_a_sparse_index_leaves_out_is_not_deleted) {
  slot s([](const test_repo& r) {
    r.write("in/file", "i");
    r.write("out/deep/file", "o");
    r.write("top", "t");
  });
  s.git("sparse-checkout set --cone --sparse-index in");
  BOOST_REQUIRE(!std::filesystem::exists(s.root / "out"));
  s.write("in/file", "changed");
  const auto taken = s.take();
  BOOST_TEST(!taken.index.known);
  BOOST_TEST(s.paths(taken) == (names{"in/file", "out/deep/file", "top"}),
             boost::test_tools::per_element());
  BOOST_TEST(s.content(taken, "in/file") == "changed");
  BOOST_TEST(reason(taken, "out") == "absent, and the index cannot be read");
}

BOOST_AUTO_TEST_CASE(G20_a_link_at_head_is_not_followed) {
  slot s;
  std::filesystem::remove(s.tree.git_dir / "HEAD");
  std::filesystem::create_symlink("/etc/hostname", s.tree.git_dir / "HEAD");
  const auto taken = s.take();
  BOOST_TEST(reason(taken, ".git/HEAD") == "unreadable");
  BOOST_TEST(taken.head.commit.is_zero());
  BOOST_TEST(s.content(taken, "a.txt") == "one\n");
}

BOOST_AUTO_TEST_CASE(G13_where_the_tree_of_head_is_gone_the_files_are_taken_and_the_index_is_not) {
  slot s;
  s.write("a.txt", "committed\n");
  s.git("commit -q -am work");
  const std::string tree = s.repo.id("remora/run/task^{tree}").hex();
  std::filesystem::remove(s.repo.path() / ".git/objects" / tree.substr(0, 2) / tree.substr(2));
  s.write("a.txt", "later\n");
  const auto taken = s.take();
  BOOST_TEST(s.content(taken, "a.txt") == "later\n");
  BOOST_TEST(!taken.index.known);
  BOOST_TEST(taken.index.note.starts_with("HEAD is damaged: "), taken.index.note);
}

BOOST_AUTO_TEST_CASE(staged_blobs_and_the_agents_commits_become_durable) {
  slot s;
  s.write("a.txt", "committed\n");
  s.git("commit -q -am work");
  s.write("staged", "only in the index\n");
  s.git("add staged");
  std::filesystem::remove(s.root / "staged");
  const auto taken = s.take();
  const git::oid head = s.repo.id("remora/run/task");
  BOOST_TEST((taken.head.commit == head));
  BOOST_TEST(s.objects->is_durable(head));
  BOOST_REQUIRE(taken.index.entries.size() == 1u);
  BOOST_TEST(taken.index.entries[0].path == "staged");
  BOOST_TEST(s.objects->is_durable(taken.index.entries[0].id));
}

BOOST_AUTO_TEST_CASE(an_index_that_did_not_change_is_described_alike_and_a_new_one_anew) {
  slot s;
  git::snapshotter shots = s.open();
  BOOST_TEST(s.take(shots).index.entries.empty());
  s.write("b", "b");
  s.git("add b");
  for (int i = 0; i < 2; ++i) BOOST_TEST(s.take(shots).index.entries.size() == 1u);
  s.git("commit -q -m b");
  BOOST_TEST(s.take(shots).index.entries.empty());
}

BOOST_AUTO_TEST_CASE(a_detached_head_and_an_unborn_branch_are_told_apart) {
  slot s;
  s.git("checkout -q --detach");
  BOOST_TEST((s.take().head == git::head_state{s.base, ""}));
  s.git("checkout -q --orphan fresh");
  const auto taken = s.take();
  BOOST_TEST((taken.head == git::head_state{git::oid(), "refs/heads/fresh"}));
  BOOST_TEST(taken.index.entries.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_rebase_in_progress_is_taken_with_its_directory) {
  slot s;
  s.git("checkout -q -b side");
  s.write("a.txt", "side\n");
  s.git("commit -q -am side");
  s.git("checkout -q remora/run/task");
  s.write("a.txt", "task\n");
  s.git("commit -q -am task");
  BOOST_REQUIRE(test_repo::try_git(s.root, "rebase -q side").status != 0);
  const auto taken = s.take();
  names found;
  for (const auto& [name, bytes] : taken.operation) found.insert(name);
  BOOST_TEST(found.contains("REBASE_HEAD"));
  BOOST_TEST(found.contains("ORIG_HEAD"));
  BOOST_TEST(found.contains("rebase-merge/onto"));
  BOOST_TEST(s.objects->is_durable(s.repo.id("side")));
}

BOOST_AUTO_TEST_CASE(F4_what_a_failed_barrier_left_behind_is_written_again) {
  slot s;
  s.write("new", "n");
  git::snapshotter shots = s.open();
  const auto first = must(shots.take(*s.opened, *s.objects, {}));  // and no barrier
  git::repository other = must(s.opened->reopen());
  git::object_writer later(other);
  const auto second = must(shots.take(other, later, {}));
  BOOST_TEST((second.tree == first.tree));
  must(later.barrier());
  BOOST_TEST(later.is_durable(second.tree));
  BOOST_TEST(later.is_durable(must(s.opened->find(second.tree, "new"))->id));
}

BOOST_AUTO_TEST_SUITE_END()

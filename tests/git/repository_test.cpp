#include <remora/git/repository.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <remora/git/object_writer.hpp>
#include <repo.hpp>
#include <set>
#include <thread>

#include <failing_call.hpp>
#include "watched_sync.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::test_repo;
using remora::test::write_bytes;

namespace {

repository open(const std::filesystem::path& path) {
  auto repo = repository::discover(path);
  if (!repo) throw std::runtime_error(repo.error().what);
  return std::move(*repo);
}

bool mentions(const error& e, const std::string& text) {
  return e.what.find(text) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(repositories)

BOOST_AUTO_TEST_CASE(an_id_is_its_forty_digits) {
  const std::string text = "0123456789abcdef0123456789abcdef01234567";
  BOOST_TEST(oid::parse(text).value().hex() == text);
  BOOST_TEST(oid::parse("0123456789ABCDEF0123456789abcdef01234567").value().hex() == text);
  BOOST_TEST(oid().is_zero());
  for (const std::string& bad : {std::string(), text.substr(1), text + "0", "g" + text.substr(1)})
    BOOST_TEST(oid::parse(bad).error().is(errc::corrupt), bad);
}

BOOST_AUTO_TEST_CASE(a_repository_is_found_from_below_its_checkout) {
  const test_repo files;
  files.write("a/b/c", "x");
  const repository repo = open(files.path() / "a/b");
  BOOST_TEST(repo.work_dir().value() == files.path());
  BOOST_TEST(repo.common_dir() == files.path() / ".git");
  BOOST_TEST(repo.name() == "repo");
}

BOOST_AUTO_TEST_CASE(a_bare_repository_has_no_checkout_and_its_own_name) {
  const test_repo files;
  files.commit("one");
  files.git("clone -q --bare . ../thing.git");
  const repository repo = open(files.beside("thing.git"));
  BOOST_TEST(!repo.work_dir().has_value());
  BOOST_TEST(repo.name() == "thing");
  BOOST_TEST(repo.dirty_paths(9).value().empty());
}

BOOST_AUTO_TEST_CASE(where_no_repository_is_the_error_says_what_to_do) {
  const test::temp_dir empty;
  const auto repo = repository::discover(empty.path());
  BOOST_REQUIRE(repo.has_error());
  BOOST_TEST(repo.error().is(errc::repository));
  BOOST_TEST(mentions(repo.error(), "git init"));
}

BOOST_AUTO_TEST_CASE(G12_an_unknown_extension_is_refused_and_named) {
  const test_repo files;
  files.git("config core.repositoryformatversion 1");
  files.git("config extensions.objectformat sha256");
  const auto repo = repository::discover(files.path());
  BOOST_REQUIRE(repo.has_error());
  BOOST_TEST(repo.error().is(errc::repository));
  BOOST_TEST(mentions(repo.error(), "objectformat"));
}

BOOST_AUTO_TEST_CASE(G22_sparse_and_partial_clones_can_be_opened) {
  const test_repo files;
  const oid head = files.commit("one");
  files.git("config core.repositoryformatversion 1");
  files.git("config extensions.worktreeConfig true");
  files.git("config extensions.partialClone origin");
  BOOST_TEST((open(files.path()).resolve_commit("HEAD").value() == head));
}

BOOST_AUTO_TEST_CASE(another_thread_opens_the_same_worktree_by_its_git_directory) {
  const test_repo files;
  const oid head = files.commit("one");
  files.git("worktree add -q -b side ../side");
  const repository first = open(files.beside("side"));
  const auto again = first.reopen();
  BOOST_REQUIRE(again.has_value());
  BOOST_TEST(again->git_dir() == first.git_dir());
  BOOST_TEST(again->common_dir() == files.path() / ".git");
  BOOST_TEST(again->work_dir().value() == files.beside("side"));
  BOOST_TEST(again->head_ref().value() == "refs/heads/side");
  BOOST_TEST((again->resolve_commit("HEAD").value() == head));
}

BOOST_AUTO_TEST_CASE(a_commit_is_found_by_name_and_what_is_none_is_said) {
  const test_repo files;
  repository repo = open(files.path());
  const auto unborn = repo.resolve_commit("HEAD");
  BOOST_REQUIRE(unborn.has_error());
  BOOST_TEST(mentions(unborn.error(), "first commit"));
  files.write("f", "x");
  const oid one = files.commit("one");
  const oid two = files.commit("two");
  files.git("tag -a -m t v1 HEAD~1");
  BOOST_TEST((repo.resolve_commit("HEAD~1").value() == one));
  BOOST_TEST((repo.resolve_commit("v1").value() == one));
  BOOST_TEST((repo.resolve_commit("main").value() == two));
  BOOST_TEST((repo.resolve_commit(two.hex().substr(0, 10)).value() == two));
  BOOST_TEST(repo.resolve_commit("nothing").error().is(errc::usage));
  BOOST_TEST(mentions(repo.resolve_commit("HEAD:f").error(), "is a blob"));
}

BOOST_AUTO_TEST_CASE(head_is_a_branch_or_detached) {
  const test_repo files;
  const oid head = files.commit("one");
  repository repo = open(files.path());
  BOOST_TEST(repo.head_ref().value() == "refs/heads/main");
  files.git("checkout -q " + head.hex());
  BOOST_TEST(!repo.head_ref().has_value());
}

BOOST_AUTO_TEST_CASE(the_user_is_the_configured_one_and_else_remora) {
  const test_repo files;
  BOOST_TEST(open(files.path()).user_signature().name == "remora");
  files.git("config user.name 'Grace Ünal'");
  const signature who = open(files.path()).user_signature();
  BOOST_TEST(who.name == "Grace Ünal");
  BOOST_TEST(who.email == "remora@localhost");
  BOOST_TEST(who.seconds > 1'700'000'000);
}

BOOST_AUTO_TEST_CASE(a_checkout_is_dirty_with_changes_and_untracked_files_not_with_ignored_ones) {
  const test_repo files;
  files.write(".gitignore", "*.o\n");
  files.write("f", "x");
  files.commit("one");
  repository repo = open(files.path());
  files.write("a.o", "x");
  BOOST_TEST(repo.dirty_paths(9).value().empty());
  files.write("new", "x");
  BOOST_TEST((repo.dirty_paths(9).value() == std::vector<std::string>{"new"}));
  files.write("f", "other");
  BOOST_TEST((repo.dirty_paths(9).value() == std::vector<std::string>{"f", "new"}));
  BOOST_TEST(repo.dirty_paths(1).value().size() == 1u);
  files.git("rm -q --cached f");
  std::filesystem::remove(files.path() / "f");
  BOOST_TEST((repo.dirty_paths(1).value() == std::vector<std::string>{"f"}));
}

BOOST_AUTO_TEST_CASE(W16_a_sparse_checkout_is_not_dirty) {
  const test_repo files;
  files.write("kept/f", "x");
  files.write("left/f", "x");
  files.commit("one");
  files.git("sparse-checkout set kept");
  BOOST_TEST(!std::filesystem::exists(files.path() / "left"));
  BOOST_TEST(open(files.path()).dirty_paths(9).value().empty());
}

BOOST_AUTO_TEST_CASE(objects_are_read_as_they_were_written) {
  const test_repo files;
  files.write("dir/file", std::string("a\0b\r\n", 5));
  files.write("run", "#!/bin/sh\n");
  ::chmod((files.path() / "run").c_str(), 0755);
  std::filesystem::create_symlink("dir/file", files.path() / "link");
  const oid parent = files.commit("one");
  const oid tip = files.commit("two\n\nbody");
  const repository repo = open(files.path());
  const commit_info commit = repo.read_commit(tip).value();
  BOOST_TEST(commit.message == "two\n\nbody\n");
  BOOST_TEST((commit.parents == std::vector{parent}));
  BOOST_TEST(commit.author.name == "Ada");
  BOOST_TEST(commit.author.offset_minutes == 60);
  const auto entries = repo.read_tree(commit.tree).value();
  BOOST_REQUIRE(entries.size() == 3u);
  BOOST_TEST((entries[0].mode == mode::directory));
  BOOST_TEST((entries[1].mode == mode::symlink));
  BOOST_TEST((entries[2].mode == mode::executable));
  BOOST_TEST(repo.read_path(commit.tree, "dir/file").value().value() == std::string("a\0b\r\n", 5));
  BOOST_TEST(!repo.read_path(commit.tree, "dir/none").value().has_value());
  BOOST_TEST(!repo.read_path(commit.tree, "dir").value().has_value());
  BOOST_TEST(!repo.find(commit.tree, "run/x").value().has_value());
  BOOST_TEST(repo.read_blob(commit.tree).error().is(errc::corrupt));
}

BOOST_AUTO_TEST_CASE(G13_a_missing_or_damaged_object_is_corrupt_not_empty) {
  const test_repo files;
  files.write("f", "content that matters");
  files.commit("one");
  const oid blob = files.id("HEAD:f");
  const repository repo = open(files.path());
  BOOST_TEST(repo.read_blob(oid::parse(std::string(40, '1')).value()).error().is(errc::corrupt));
  const auto loose = files.path() / ".git/objects" / blob.hex().substr(0, 2) / blob.hex().substr(2);
  std::filesystem::permissions(loose, std::filesystem::perms::owner_all);
  write_bytes(loose, "");
  BOOST_TEST(repo.read_blob(blob).has_error());
}

BOOST_AUTO_TEST_CASE(objects_and_packs_of_other_processes_are_seen_at_once) {
  const test_repo files;
  files.commit("one");
  const repository repo = open(files.path());
  BOOST_TEST(!repo.exists(oid::parse(std::string(40, '1')).value()));
  files.write("f", "x");
  const oid two = files.commit("two");
  BOOST_TEST(repo.exists(two));
  files.git("repack -q -a -d");
  BOOST_TEST(repo.read_commit(two).has_value());
  files.write("f", "y");
  const oid three = files.commit("three");
  files.git("repack -q -a -d");
  BOOST_TEST(repo.read_commit(three).has_value());
}

BOOST_AUTO_TEST_CASE(history_between_two_commits_is_newest_first_and_limited) {
  const test_repo files;
  const oid one = files.commit("one");
  const oid two = files.commit("two");
  const oid three = files.commit("three");
  const repository repo = open(files.path());
  BOOST_TEST((repo.commits_between(one, three, 10).value() == std::vector{three, two}));
  BOOST_TEST((repo.commits_between(one, three, 1).value() == std::vector{three}));
  BOOST_TEST((repo.commits_between(oid(), three, 10).value().size() == 3u));
  BOOST_TEST(repo.is_ancestor(one, three).value());
  BOOST_TEST(repo.is_ancestor(three, three).value());
  BOOST_TEST(!repo.is_ancestor(three, one).value());
}

BOOST_AUTO_TEST_CASE(history_with_merges_and_wrong_clocks_is_that_of_git) {
  const test_repo files;
  files.commit("root");
  files.git("checkout -q -b side");
  files.commit("side one");
  // A committer whose clock is an hour behind.
  test::shell(files.path(),
              "GIT_COMMITTER_DATE='1699996400 +0000' git -c user.name=x -c user.email=x@y commit "
              "-q --allow-empty -m late");
  files.git("checkout -q main");
  files.commit("main one");
  files.git("merge -q --no-edit side");
  files.commit("after");
  const repository repo = open(files.path());
  const auto check = [&](const std::string& from, const std::string& to) {
    const auto ours = repo.commits_between(files.id(from), files.id(to), 100).value();
    const std::string theirs = files.git("rev-list " + from + ".." + to);
    std::set<std::string> a, b;
    for (const oid& id : ours) a.insert(id.hex());
    for (std::size_t at = 0; at + 40 <= theirs.size(); at += 41) b.insert(theirs.substr(at, 40));
    BOOST_TEST(a == b, boost::test_tools::per_element());
    BOOST_TEST(repo.is_ancestor(files.id(to), files.id(from)).value() == b.empty());
  };
  const std::vector<std::string> all{"main", "main~1", "main~2", "side", "side~1", "side~2"};
  for (const std::string& from : all)
    for (const std::string& to : all) check(from, to);
  const auto order = repo.commits_between(oid(), files.id("main"), 100).value();
  BOOST_TEST(order.size() == 6u);
  BOOST_TEST((order.front() == files.id("main")));
  BOOST_TEST((order.back() == files.id("main~3")));
}

BOOST_AUTO_TEST_CASE(G14_a_shallow_clone_has_a_history_that_ends_where_it_was_cut) {
  const test_repo files;
  for (const char* message : {"one", "two", "three"}) files.commit(message);
  files.git("clone -q --depth 1 \"file://$PWD\" ../shallow");
  const oid base = files.id("HEAD");
  files.git_in(files.beside("shallow"), "commit -q --allow-empty -m four");
  repository repo = open(files.beside("shallow"));
  const oid tip = repo.resolve_commit("HEAD").value();
  BOOST_TEST((repo.commits_between(base, tip, 10).value() == std::vector{tip}));
  BOOST_TEST((repo.commits_between(oid(), tip, 10).value() == std::vector{tip, base}));
  BOOST_TEST(repo.is_ancestor(base, tip).value());
  BOOST_TEST(!repo.is_ancestor(tip, base).value());
  {
    const test::failing_call failing("openat", "/.git/shallow", EMFILE, 1);
    BOOST_TEST(repo.is_ancestor(base, tip).error().is_errno(EMFILE));
  }
  object_writer objects(repo);
  BOOST_TEST(objects.adopt_commits(tip, base).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(refs)

BOOST_AUTO_TEST_CASE(a_ref_is_created_moved_and_deleted_only_from_the_expected_value) {
  const test_repo files;
  const oid one = files.commit("one");
  const oid two = files.commit("two");
  repository repo = open(files.path());
  const std::string name = "refs/remora/wip/r/t";
  BOOST_TEST(!repo.read_ref(name).value().has_value());
  BOOST_TEST(repo.swap_ref(name, one, two).error().is(errc::ref_moved));
  BOOST_TEST(repo.swap_ref(name, oid(), one).has_value());
  BOOST_TEST(files.git("rev-parse " + name) == one.hex());
  BOOST_TEST(repo.swap_ref(name, oid(), two).error().is(errc::ref_moved));
  BOOST_TEST(repo.swap_ref(name, two, two).error().is(errc::ref_moved));
  BOOST_TEST(repo.swap_ref(name, one, two).has_value());
  BOOST_TEST((repo.read_ref(name).value().value() == two));
  BOOST_TEST(repo.delete_ref(name, one).error().is(errc::ref_moved));
  BOOST_TEST(repo.delete_ref(name, two).has_value());
  BOOST_TEST(repo.delete_ref(name, two).has_value());
  BOOST_TEST(!repo.read_ref(name).value().has_value());
  BOOST_TEST(!std::filesystem::exists(files.path() / ".git/logs/refs/remora"));
}

BOOST_AUTO_TEST_CASE(a_packed_ref_is_moved_and_deleted_like_a_loose_one) {
  const test_repo files;
  const oid one = files.commit("one");
  const oid two = files.commit("two");
  repository repo = open(files.path());
  const std::string name = "refs/remora/wip/r/t";
  BOOST_TEST(repo.swap_ref(name, oid(), one).has_value());
  files.git("pack-refs --all --prune");
  BOOST_TEST(repo.swap_ref(name, oid(), two).error().is(errc::ref_moved));
  BOOST_TEST(repo.swap_ref(name, one, two).has_value());
  files.git("pack-refs --all --prune");
  BOOST_TEST(repo.delete_ref(name, two).has_value());
  BOOST_TEST(files.git("for-each-ref refs/remora") == "");
}

BOOST_AUTO_TEST_CASE(refs_are_listed_by_exact_prefix_in_order) {
  const test_repo files;
  const oid one = files.commit("one");
  repository repo = open(files.path());
  for (const char* name : {"refs/remora/runs/b", "refs/remora/runs/a", "refs/remora/runsx"})
    BOOST_REQUIRE(repo.swap_ref(name, oid(), one).has_value());
  const auto refs = repo.list_refs("refs/remora/runs/").value();
  BOOST_REQUIRE(refs.size() == 2u);
  BOOST_TEST(refs[0].name == "refs/remora/runs/a");
  BOOST_TEST((refs[1].target == one));
}

BOOST_AUTO_TEST_CASE(F1_a_ref_of_no_bytes_is_corrupt) {
  const test_repo files;
  files.commit("one");
  write_bytes(files.path() / ".git/refs/remora/x", "");
  BOOST_TEST(open(files.path()).read_ref("refs/remora/x").error().is(errc::corrupt));
}

BOOST_AUTO_TEST_CASE(F1_a_derived_ref_costs_no_sync_and_takes_the_place_of_what_is_unreadable) {
  const test_repo files;
  const oid one = files.commit("one");
  const oid two = files.commit("two");
  const std::string name = "refs/heads/remora-wip/run/task";
  repository repo = open(files.path());
  remora::test::watched_sync syncs;
  for (const oid& id : {one, two}) {
    BOOST_REQUIRE(repo.set_derived_ref(name, id).has_value());
    BOOST_TEST((files.id(name) == id));
  }
  write_bytes(files.path() / ".git" / name, "");  // as a power cut leaves it
  BOOST_REQUIRE(repo.set_derived_ref(name, one).has_value());
  BOOST_TEST((files.id(name) == one));
  files.git("pack-refs --all --prune");
  BOOST_REQUIRE(repo.set_derived_ref(name, two).has_value());
  BOOST_TEST((files.id(name) == two));
  BOOST_TEST(syncs.files.empty());
  BOOST_TEST(syncs.file_systems.empty());
  BOOST_TEST(files.git("for-each-ref --format='%(refname)' refs/heads/remora-wip") == name);
}

BOOST_AUTO_TEST_CASE(a_derived_ref_respects_locks_and_names_in_the_way) {
  const test_repo files;
  const oid one = files.commit("one");
  repository repo = open(files.path());
  const std::string name = "refs/heads/remora-wip/run/task";
  write_bytes(files.path() / ".git" / (name + ".lock"), "");
  const auto locked = repo.set_derived_ref(name, one);
  BOOST_TEST(locked.error().is(errc::repository));
  BOOST_TEST(mentions(locked.error(), "task.lock"));
  BOOST_TEST(std::filesystem::remove(files.path() / ".git" / (name + ".lock")));
  BOOST_REQUIRE(repo.set_derived_ref(name, one).has_value());
  for (const char* clashing : {"refs/heads/remora-wip/run/task/x", "refs/heads/remora-wip/run"})
    BOOST_TEST(repo.set_derived_ref(clashing, one).error().is(errc::repository), clashing);
  files.git("pack-refs --all --prune");
  for (const char* clashing : {"refs/heads/remora-wip/run/task/x", "refs/heads/remora-wip/run"})
    BOOST_TEST(repo.set_derived_ref(clashing, one).error().is(errc::repository), clashing);
}

BOOST_AUTO_TEST_CASE(F1_a_ref_of_no_bytes_is_deleted_and_none) {
  const test_repo files;
  const oid one = files.commit("one");
  files.git("branch x");
  files.git("pack-refs --all");
  repository repo = open(files.path());
  bool deleted = true;
  BOOST_TEST((repo.read_or_delete_ref("refs/heads/x", &deleted).value() == one));
  BOOST_TEST(!deleted);
  write_bytes(files.path() / ".git/refs/heads/x", "");
  BOOST_TEST(!repo.read_or_delete_ref("refs/heads/x", &deleted).value().has_value());
  BOOST_TEST(deleted);
  BOOST_TEST(!repo.read_ref("refs/heads/x").value().has_value());
  BOOST_TEST(!repo.read_or_delete_ref("refs/heads/x", &deleted).value().has_value());
  BOOST_TEST(!deleted);
}

BOOST_AUTO_TEST_CASE(G18_a_repository_of_another_user_is_explained,
                     *boost::unit_test::precondition([](auto) { return ::geteuid() == 0; })) {
  const test_repo files;
  BOOST_REQUIRE(::chown((files.path() / ".git").c_str(), 65534, 65534) == 0);
  BOOST_REQUIRE(::chown(files.path().c_str(), 65534, 65534) == 0);
  const auto repo = repository::discover(files.path());
  BOOST_REQUIRE(repo.has_error());
  BOOST_TEST(repo.error().is(errc::repository));
  BOOST_TEST(mentions(repo.error(), "safe.directory"));
}

BOOST_AUTO_TEST_CASE(G5_a_users_branch_named_remora_is_named_with_the_way_out) {
  const test_repo files;
  const oid one = files.commit("one");
  files.git("branch remora");
  repository repo = open(files.path());
  const auto loose = repo.swap_ref("refs/heads/remora/run/task", oid(), one);
  BOOST_REQUIRE(loose.has_error());
  BOOST_TEST(loose.error().is(errc::repository));
  BOOST_TEST(mentions(loose.error(), "git branch -m remora"));
  files.git("pack-refs --all --prune");
  const auto packed = repo.swap_ref("refs/heads/remora/run/task", oid(), one);
  BOOST_REQUIRE(packed.has_error());
  BOOST_TEST(mentions(packed.error(), "git branch -m remora"));
}

BOOST_AUTO_TEST_CASE(G5_a_ref_above_existing_ones_is_refused_too) {
  const test_repo files;
  const oid one = files.commit("one");
  files.git("branch remora/x");
  repository repo = open(files.path());
  const auto swapped = repo.swap_ref("refs/heads/remora", oid(), one);
  BOOST_REQUIRE(swapped.has_error());
  BOOST_TEST(swapped.error().is(errc::repository));
  BOOST_TEST(mentions(swapped.error(), "remora/x"));
}

BOOST_AUTO_TEST_CASE(G1_a_locked_ref_is_an_error_that_names_the_lock) {
  const test_repo files;
  const oid one = files.commit("one");
  repository repo = open(files.path());
  write_bytes(files.path() / ".git/refs/remora/x.lock", "");
  const auto swapped = repo.swap_ref("refs/remora/x", oid(), one);
  BOOST_REQUIRE(swapped.has_error());
  BOOST_TEST(swapped.error().is(errc::repository));
  BOOST_TEST(mentions(swapped.error(), "x.lock"));
  BOOST_TEST(!repo.read_ref("refs/remora/x").value().has_value());
}

BOOST_AUTO_TEST_CASE(G1_a_lock_that_could_not_be_removed_at_once_is_not_left) {
  const test_repo files;
  const oid one = files.commit("one");
  repository repo = open(files.path());
  BOOST_REQUIRE(repo.swap_ref("refs/remora/x", oid(), one).has_value());
  remora::test::failing_call unlink("unlink", "remora/x.lock", EACCES, 2);
  BOOST_TEST(repo.delete_ref("refs/remora/x", one).has_value());
  BOOST_TEST(unlink.left() == 0);
  BOOST_TEST(!std::filesystem::exists(files.path() / ".git/refs/remora/x.lock"));
}

BOOST_AUTO_TEST_CASE(G3_writers_of_one_ref_lose_only_to_each_other) {
  const test_repo files;
  const oid start = files.commit("one");
  repository repo = open(files.path());
  const std::string name = "refs/remora/shared";
  BOOST_REQUIRE(repo.swap_ref(name, oid(), start).has_value());
  constexpr int rounds = 15;
  const auto write = [&](std::int64_t who) {
    repository own = open(files.path());
    object_writer objects(own);
    int other_errors = 0;
    for (int done = 0; done < rounds;) {
      const oid at = own.read_ref(name).value().value();
      const oid tree = own.read_commit(at).value().tree;
      const oid next =
          objects.commit(tree, std::array{at}, remora_signature(who * 1000 + done), "x").value();
      other_errors += objects.barrier() ? 0 : 1;
      const auto swapped = own.swap_ref(name, at, next);
      if (swapped) ++done;
      if (!swapped && !swapped.error().is(errc::ref_moved)) ++other_errors;
    }
    return other_errors;
  };
  int errors[2] = {-1, -1};
  {
    std::jthread a([&] { errors[0] = write(1); });
    std::jthread b([&] { errors[1] = write(2); });
  }
  BOOST_TEST(errors[0] == 0);
  BOOST_TEST(errors[1] == 0);
  BOOST_TEST(files.git("rev-list --count " + name) == std::to_string(2 * rounds + 1));
}

BOOST_AUTO_TEST_SUITE_END()

// What dead processes left: found, and removed only where it is nobody's (G1, G9, G10, G11).
#include <sys/stat.h>

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <failing_call.hpp>
#include <remora/run/doctor.hpp>
#include <remora/run/leftovers.hpp>
#include <remora/run/run_record.hpp>
#include <stop_token>
#include <thread>

#include "git/worktree_books.hpp"
#include "repo.hpp"

using namespace remora;
namespace fs = std::filesystem;

namespace {

struct scene {
  scene() {
    git::initialise();
    files.write("a.txt", "one\n");
    base = files.commit("base");
    repo.emplace(git::repository::discover(files.path()).value());
  }

  /// `open`: its journal is there; `record`: the run's record is, as ended or not.
  void begin(bool open, bool record, bool ended) {
    if (open) {
      const run::record first{1,
                              "2026-01-02T00:00:00.000Z",
                              "run_started",
                              {{"schema", run::run_schema}, {"run", id.str()}}};
      test::write_bytes(layout.journal(), run::journal_line(first, 1, "boot", 0));
    }
    if (!record) return;
    git::repository own = repo->reopen().value();
    git::object_writer objects(own);
    run::run_record_writer writer(own, objects, id);
    BOOST_REQUIRE(writer.start({{"schema", run::run_schema}}, {}, {base}).has_value());
    if (ended) BOOST_REQUIRE(writer.finish({{"exit", 0}}, "").has_value());
  }
  fs::path ref_lock(const std::string& ref) const {
    const fs::path lock = files.path() / ".git" / (ref + ".lock");
    test::write_bytes(lock, "");
    return lock;
  }
  fs::path add_slot(const char* name) const {
    fs::path root = files.beside("slots") / name;
    const auto made = git::add_worktree(*repo, root, checkpoint::task_branch(id, task), base, {});
    BOOST_REQUIRE_MESSAGE(made, (made ? "" : made.error().what));
    return root;
  }
  std::vector<std::string> kinds() const {
    std::vector<std::string> all;
    for (const auto& l : run::find_leftovers(*repo, run::thoroughness::all)) all.push_back(l.kind);
    return all;
  }
  std::vector<std::string> kinds_of(std::string_view subject) const {
    std::vector<std::string> all;
    for (const auto& l : run::find_leftovers(*repo, run::thoroughness::all))
      if (l.subject == subject) all.push_back(l.kind);
    return all;
  }
  /// Git's entry of a worktree, some files of which a power cut left without a byte, a while ago.
  fs::path empty_entry(const char* name, std::initializer_list<const char*> lost) const {
    fs::path entry = files.path() / ".git/worktrees" / name;
    for (const char* file : lost) test::write_bytes(entry / file, "");
    make_old(entry);
    return entry;
  }
  /// Ten minutes ago, as `stat` sees it.
  static void make_old(const fs::path& file) {
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::minutes(10));
  }

  test::test_repo files;
  git::oid base;
  run_id id = run_id::parse("20260102-000000-27ab").value();
  task_id task = task_id::parse("parser").value();
  run::run_layout layout{files.path() / ".git", id};
  std::optional<git::repository> repo;
};

using names = std::vector<std::string>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(leftovers, scene)

BOOST_AUTO_TEST_CASE(G1_a_stale_ref_lock_is_reaped_where_nobody_works_on_its_run) {
  begin(true, true, false);
  std::vector<fs::path> locks;
  for (const std::string& ref : {checkpoint::wip_ref(id, task), checkpoint::wip_branch(id, task),
                                 checkpoint::task_branch(id, task), checkpoint::run_ref(id),
                                 "logs/" + checkpoint::task_branch(id, task)}) {
    locks.push_back(ref_lock(ref));
    make_old(locks.back());
  }
  const fs::path users = ref_lock("refs/heads/main");
  make_old(users);
  {
    const auto live = run::run_lock::take(layout);
    BOOST_TEST(run::sweep_leftovers(*repo).empty());
    for (const fs::path& lock : locks) BOOST_TEST(fs::exists(lock));
  }
  BOOST_TEST(run::sweep_leftovers(*repo).size() == locks.size());
  for (const fs::path& lock : locks) BOOST_TEST(!fs::exists(lock), lock);
  BOOST_TEST(fs::exists(users));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  BOOST_TEST(repo->swap_ref(checkpoint::wip_ref(id, task), git::oid(), base).has_value());
}

BOOST_AUTO_TEST_CASE(G1_a_lock_that_was_made_just_now_is_somebodys) {
  begin(true, true, false);
  const fs::path old = ref_lock(checkpoint::wip_ref(id, task));
  make_old(old);
  const auto ours = run::run_lock::take(layout);
  const fs::path fresh = ref_lock(checkpoint::wip_branch(id, task));
  fs::last_write_time(fresh, fs::file_time_type::clock::now() + std::chrono::minutes(1));
  const auto removed = run::remove_ref_locks(repo->common_dir(), id, *ours);
  BOOST_REQUIRE(removed.has_value());
  BOOST_TEST((*removed == names{checkpoint::wip_ref(id, task) + ".lock"}));
  BOOST_TEST(fs::exists(fresh));
  BOOST_TEST(!fs::exists(old));
}

BOOST_AUTO_TEST_CASE(G1_the_lock_of_a_run_without_a_directory_goes_unless_somebody_holds_it) {
  begin(false, true, true);
  const fs::path lock = ref_lock(checkpoint::wip_ref(id, task));
  {
    // `drop` and the user's git take it, and give it back.
    const std::jthread holders([&](const std::stop_token& over) {
      const fs::path next = files.beside("next");
      while (!over.stop_requested()) {
        test::write_bytes(next, "");
        fs::rename(next, lock);
      }
    });
    BOOST_TEST(run::sweep_leftovers(*repo).empty());
  }
  const fs::path log = ref_lock("logs/" + checkpoint::task_branch(id, task));
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 2u);
  BOOST_TEST(!fs::exists(lock));
  BOOST_TEST(!fs::exists(log));
}

BOOST_AUTO_TEST_CASE(a_run_directory_goes_where_the_run_never_began_or_has_ended_and_else_stays) {
  test::write_bytes(layout.attempt("parser.1") / "out", "said\n");
  BOOST_TEST((kinds() == names{"run-directory"}));
  {
    const auto live = run::run_lock::take(layout);
    BOOST_TEST(run::sweep_leftovers(*repo).empty());
  }
  begin(false, true, false);  // its record says that it goes on: what agents said is kept
  BOOST_TEST((run::trace_of(*repo, id) == run::run_trace::lost));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  test::write_bytes(layout.journal(), "a journal of some other version\n");
  BOOST_TEST((run::trace_of(*repo, id) == run::run_trace::open));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  BOOST_TEST(fs::exists(layout.attempt("parser.1") / "out"));
}

BOOST_AUTO_TEST_CASE(the_directory_of_a_run_that_has_ended_goes_and_its_journal_with_it) {
  begin(false, true, true);
  test::write_bytes(layout.lock(), "");
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
  BOOST_TEST(!fs::exists(layout.root));
  begin(true, false, true);
  BOOST_TEST((run::trace_of(*repo, id) == run::run_trace::over));
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
  BOOST_TEST(!fs::exists(layout.root));
}

BOOST_AUTO_TEST_CASE(G10_the_entry_of_a_worktree_that_is_gone_goes_with_its_run_only) {
  begin(true, true, false);
  const fs::path slot = add_slot("1");
  fs::remove_all(slot);
  BOOST_TEST(run::sweep_leftovers(*repo).empty());  // `resume` may want it
  fs::remove(layout.journal());
  files.git("update-ref -d " + checkpoint::run_ref(id));
  fs::remove_all(layout.root);
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
  BOOST_TEST(git::made_worktrees(*repo).empty());
  BOOST_TEST(files.git("worktree list --porcelain | grep -c ^worktree") == "1");
}

BOOST_AUTO_TEST_CASE(G9_the_entry_of_a_worktree_whose_disk_is_away_stays) {
  const fs::path slot = add_slot("1");
  fs::rename(slot.parent_path(), files.beside("unmounted"));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  files.git("worktree prune");
  fs::rename(files.beside("unmounted"), slot.parent_path());
  BOOST_TEST(git::open_worktree(*repo, slot).has_value());
}

BOOST_AUTO_TEST_CASE(G11_a_worktree_that_is_there_and_a_slot_that_is_lent_again_are_never_swept) {
  const fs::path slot = add_slot("1");
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  const auto trees = git::made_worktrees(*repo);
  BOOST_REQUIRE(trees.size() == 1u);
  BOOST_TEST(trees.front().branch == checkpoint::task_branch(id, task));
  fs::remove_all(slot);
  const auto found = run::find_leftovers(*repo, run::thoroughness::certain);
  BOOST_REQUIRE(found.size() == 1u);
  fs::create_directory(slot);  // lent again between the look and the removal
  BOOST_TEST(!found.front().remove(*repo).value());
  BOOST_TEST(fs::exists(slot));
}

BOOST_AUTO_TEST_CASE(F1_the_entry_of_a_slot_that_a_power_cut_emptied_goes) {
  const fs::path slot = add_slot("1");
  const fs::path entry = empty_entry("1", {"gitdir", "HEAD", "locked"});
  BOOST_TEST(run::sweep_leftovers(*repo).empty());  // the worktree is there and points to it
  fs::remove_all(slot);
  fs::last_write_time(entry, fs::file_time_type::clock::now());
  BOOST_TEST(kinds_of("worktrees/1").empty());  // a git may be making it
  make_old(entry);
  BOOST_TEST((kinds_of("worktrees/1") == names{"worktree-entry"}));
  run::sweep_leftovers(*repo);
  BOOST_TEST(!fs::exists(entry));
  BOOST_TEST((kinds() == names{"branch"}));
  fs::create_directories(entry);  // all that was durable of another
  make_old(entry);
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
  BOOST_TEST(!fs::exists(entry));
}

BOOST_AUTO_TEST_CASE(F1_an_emptied_entry_that_names_its_branch_goes_when_its_run_is_over) {
  begin(true, true, false);
  fs::remove_all(add_slot("1"));
  const fs::path entry = empty_entry("1", {"gitdir", "HEAD"});  // its lock names the branch
  BOOST_TEST(kinds_of("worktrees/1").empty());                  // `resume` frees that
  test::write_bytes(entry / "HEAD", "ref: " + checkpoint::task_branch(id, task) + "\n");
  empty_entry("1", {"locked"});
  BOOST_TEST(kinds_of("worktrees/1").empty());
  fs::remove_all(layout.root);
  files.git("update-ref -d " + checkpoint::run_ref(id));
  BOOST_TEST((kinds_of("worktrees/1") == names{"worktree-entry"}));
  run::sweep_leftovers(*repo);
  BOOST_TEST(!fs::exists(entry));
}

BOOST_AUTO_TEST_CASE(F1_an_emptied_entry_that_may_be_the_users_stays) {
  files.git("worktree add -q -b feature ../feature");
  files.git("worktree add -q --lock -b seven ../7");
  files.git("worktree add -q --lock -b eight ../8");
  files.git("worktree add -q -b nine ../9");
  empty_entry("feature", {"gitdir", "HEAD"});
  empty_entry("7", {"gitdir"});  // its HEAD allows a repair
  test::write_bytes(empty_entry("8", {"gitdir", "HEAD"}) / "locked", "mine\n");
  make_old(files.path() / ".git/worktrees/8");
  empty_entry("9", {"gitdir", "HEAD"});  // git itself removes what is not locked
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
}

BOOST_AUTO_TEST_CASE(
    G10_a_half_made_worktree_goes_with_git_entry_or_without_once_its_maker_is_gone) {
  const fs::path whole = add_slot("1"), half = files.beside("slots/2");
  const fs::path common_dir = files.path() / ".git";
  for (const bool has_entry : {true, false}) {
    test::write_bytes(half / "a.txt", "one\n");
    test::write_bytes(half / ".git", "gitdir: " + (common_dir / "worktrees/2").string() + "\n");
    if (has_entry)
      test::write_bytes(common_dir / "worktrees/2/gitdir", (half / ".git").string() + "\n");
    BOOST_REQUIRE(git::note_made(common_dir, half, git::making::begun).has_value());
    BOOST_TEST((kinds_of(half.string()) == names{"worktree"}));
    {
      const auto making = git::lock_worktrees(common_dir, {});
      BOOST_TEST(run::sweep_leftovers(*repo).empty());
    }
    BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
    BOOST_TEST(!fs::exists(half));
    BOOST_TEST(!fs::exists(common_dir / "worktrees/2"));
    BOOST_TEST(!git::is_made_worktree(*repo, half).value());
  }
  BOOST_TEST(fs::exists(whole / "a.txt"));
}

BOOST_AUTO_TEST_CASE(G6_what_an_interrupted_run_prepared_and_no_ref_names_is_kept_from_gc) {
  begin(true, true, false);
  git::object_writer objects(*repo);
  const git::oid prepared = objects.blob("of a checkpoint that was not published").value();
  BOOST_REQUIRE(objects.barrier().has_value());
  run::sweep_leftovers(*repo);
  files.git("gc -q --prune=now");
  BOOST_TEST(files.git("cat-file -t " + prepared.hex()) == "blob");
}

BOOST_AUTO_TEST_CASE(G11_the_branch_of_a_worktree_that_nobody_can_look_at_stays) {
  const fs::path slot = add_slot("1");
  files.git("-C " + slot.string() + " checkout -q --detach");
  fs::remove_all(slot);
  {
    const test::failing_call failing("openat", "/worktrees/1", EMFILE, 1);
    const auto trees = git::made_worktrees(*repo);
    BOOST_REQUIRE(trees.size() == 1u);
    BOOST_TEST(trees.front().unclear);
    BOOST_TEST(!trees.front().there);
  }
  const test::failing_call failing("openat", "/worktrees/1", EMFILE, 1);
  BOOST_TEST(kinds().empty());
  BOOST_TEST(failing.left() == 0);
}

BOOST_AUTO_TEST_CASE(objects_of_dead_writers_are_told_of_and_swept) {
  const fs::path dead = files.path() / ".git/objects/pack/remora-0123456789abcdef.tmp";
  test::write_bytes(dead, "half a pack");
  BOOST_TEST((kinds_of("objects") == names{"object-files"}));
  BOOST_TEST(fs::exists(dead));
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 1u);
  BOOST_TEST(!fs::exists(dead));
}

BOOST_AUTO_TEST_CASE(G11_a_branch_without_a_run_is_told_of_only_when_merged_and_never_swept) {
  const std::string branch = checkpoint::task_branch(id, task);
  files.git("branch " + branch.substr(11));
  BOOST_TEST((kinds() == names{"branch"}));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  files.git("checkout -q " + branch.substr(11));
  BOOST_TEST(kinds().empty());  // somebody stands on it
  files.write("b.txt", "work\n");
  files.commit("unmerged");
  files.git("checkout -q main");
  BOOST_TEST(kinds().empty());
  files.git("merge -q --ff-only " + branch.substr(11));
  const auto found = run::find_leftovers(*repo, run::thoroughness::all);
  BOOST_REQUIRE(found.size() == 1u);
  BOOST_TEST(found.front().remove(*repo).value());
  BOOST_TEST(!repo->read_ref(branch)->has_value());
}

BOOST_AUTO_TEST_CASE(F1_a_worktree_whose_entry_a_power_cut_emptied_is_told_of_until_it_is_removed) {
  const fs::path root = add_slot("7");
  const auto told = [&] {
    names all;
    for (const run::finding& f : run::examine(*repo))
      if (f.kind == "worktree-lost") all.push_back(f.subject);
    return all;
  };
  BOOST_TEST(told().empty());
  empty_entry("7", {"gitdir", "HEAD", "locked", "commondir"});
  BOOST_TEST((told() == names{root.string()}));
  BOOST_TEST(run::sweep_leftovers(*repo).empty());
  BOOST_TEST(fs::exists(root / "a.txt"));
  fs::remove_all(root);
  BOOST_TEST(told().empty());
  BOOST_TEST(run::sweep_leftovers(*repo).size() == 2u);  // git's entry, and our note
  BOOST_TEST(!fs::exists(files.path() / ".git/worktrees/7"));
}

BOOST_AUTO_TEST_SUITE_END()

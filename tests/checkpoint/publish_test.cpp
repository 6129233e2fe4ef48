// The ref is the truth: who may move it, and what a crash between any two steps leaves.
#include <remora/checkpoint/foreign.hpp>

#include "fixture.hpp"

using namespace remora;
using namespace remora::test;

namespace {

struct publishing : fixture {
  /// What is known after a crash: another process, another handle on everything.
  struct process {
    explicit process(const std::filesystem::path& path)
        : repo(git::repository::discover(path).value()),
          objects(repo),
          store(repo, objects, true) {}
    git::repository repo;
    git::object_writer objects;
    checkpoint::store store;
  };

  void set_ref(const std::string& name, const std::string& to) const {
    repo_dir.git("update-ref " + name + " " + to);
  }
  git::oid foreign_commit() const {
    return git::oid::parse(repo_dir.git("commit-tree -p " + base.hex() + " -m foreign HEAD^{tree}"))
        .value();
  }
  std::string aside(const git::oid& value) const {
    return "refs/remora/foreign/" + run.str() + "/" + task.str() + "/" + value.hex().substr(0, 12);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(publish, publishing)

BOOST_AUTO_TEST_CASE(the_ref_holds_the_record_and_the_branch_its_files) {
  const auto made = chain(2);
  BOOST_TEST(ref(wip) == made[1].commit.hex());
  BOOST_TEST(ref(branch) == made[1].files.hex());
  BOOST_TEST((store->newest(run, task).value()->commit == made[1].commit));
}

BOOST_AUTO_TEST_CASE(X2_publishing_twice_is_publishing_once) {
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  BOOST_REQUIRE(store->publish(p).has_value());
  const auto again = store->publish(p).value();
  BOOST_TEST(!again.kept);
  BOOST_TEST(!again.was_missing);
  BOOST_TEST(repo_dir.git("for-each-ref refs/remora/foreign") == "");
}

BOOST_AUTO_TEST_CASE(C18_a_foreign_value_is_kept_and_ours_is_put_in_its_place) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  const git::oid foreign = foreign_commit();
  set_ref(wip, foreign.hex());
  const auto done = store->publish(p).value();
  BOOST_TEST((done.kept == aside(foreign)));
  BOOST_TEST(ref(aside(foreign)) == foreign.hex());
  BOOST_TEST(ref(wip) == p.what.commit.hex());
  BOOST_TEST(ref(branch) == p.what.files.hex());
  // The same again, with the place of the foreign value taken by it already.
  set_ref(wip, foreign.hex());
  BOOST_TEST((store->publish(p).value().kept == aside(foreign)));
  BOOST_TEST(ref(wip) == p.what.commit.hex());
}

BOOST_AUTO_TEST_CASE(G13_no_ref_is_made_to_what_is_damaged_but_to_the_files_of_it_that_are_sound) {
  const auto first = save(request(1, {{"a.txt", "one\n"}}));
  auto changed = request(2, {{"a.txt", "two\n"}}, first.commit);
  changed.mind.state = "what only the second one has";
  const auto second = save(std::move(changed));
  delete_object(repo->find(second.mind, "state.json").value()->id);
  auto third = store->prepare(request(3, {{"a.txt", "three\n"}}, first.commit)).value();
  auto done = store->publish(third).value();
  BOOST_TEST((done.damaged == second.commit));
  BOOST_TEST((done.kept == aside(second.files)));
  BOOST_TEST(ref(aside(second.files)) == second.files.hex());
  BOOST_TEST(ref(wip) == third.what.commit.hex());

  delete_object(repo->find(third.what.files_tree, "a.txt").value()->id);
  const auto fourth = store->prepare(request(4, {{"a.txt", "four\n"}}, first.commit)).value();
  done = store->publish(fourth).value();
  BOOST_TEST((done.damaged == third.what.commit));
  BOOST_TEST(!done.kept);
  BOOST_TEST(ref(wip) == fourth.what.commit.hex());
  repo_dir.git("fsck --connectivity-only");
}

BOOST_AUTO_TEST_CASE(a_first_checkpoint_does_not_trust_what_is_there) {
  set_ref(wip, base.hex());
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  BOOST_TEST((store->publish(p).value().kept == aside(base)));
  BOOST_TEST(ref(wip) == p.what.commit.hex());
}

BOOST_AUTO_TEST_CASE(G17_a_deleted_ref_is_noticed_and_put_back) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  repo_dir.git("update-ref -d " + wip);
  const auto done = store->publish(p).value();
  BOOST_TEST(done.was_missing);
  BOOST_TEST(!done.kept);
  BOOST_TEST(ref(wip) == p.what.commit.hex());
  BOOST_TEST(store->history(run, task).value().size() == 2u);
}

BOOST_AUTO_TEST_CASE(G13_a_ref_that_holds_no_id_is_put_back) {
  for (const char* bytes : {"", "garbage\n"}) {
    const auto first = save(request(1, {{"a.txt", "two\n"}}));
    const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
    repo_dir.write(".git/" + wip, bytes);
    BOOST_TEST(store->publish(p).value().was_missing);
    BOOST_TEST(ref(wip) == p.what.commit.hex());
    repo_dir.write(".git/" + wip, bytes);
    BOOST_TEST(store->recover(run, task, p.what.commit, first.commit).value());
    BOOST_TEST(ref(wip) == p.what.commit.hex());
    BOOST_REQUIRE(store->remove(p.what).has_value());
  }
}

BOOST_AUTO_TEST_CASE(G17_a_branch_that_was_deleted_or_rewritten_follows_again) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  repo_dir.git("branch -D " + branch.substr(11));
  const auto second = save(request(2, {{"a.txt", "three\n"}}, first.commit));
  BOOST_TEST(ref(branch) == second.files.hex());
  set_ref(branch, foreign_commit().hex());
  const auto third = save(request(3, {{"a.txt", "four\n"}}, second.commit));
  BOOST_TEST(ref(branch) == third.files.hex());
  set_ref(branch, base.hex());
  BOOST_REQUIRE(store->mend_branch(run, task).has_value());
  BOOST_TEST(ref(branch) == third.files.hex());
}

BOOST_AUTO_TEST_CASE(a_branch_in_use_stays_and_the_checkpoint_is_saved) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  repo_dir.git("checkout -q " + branch.substr(11));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  const auto done = store->publish(p).value();
  BOOST_REQUIRE(done.branch_error.has_value());
  BOOST_TEST(failed_with(*done.branch_error, errc::held));
  BOOST_TEST(repo_dir.git("status --porcelain") == "");
  BOOST_TEST(ref(wip) == p.what.commit.hex());
  BOOST_TEST(store->remove(p.what).error().is(errc::held));
  BOOST_TEST(ref(wip) == "");
  BOOST_TEST(ref(branch) == first.files.hex());
}

BOOST_AUTO_TEST_CASE(G5_a_users_branch_in_the_way_costs_only_the_branch) {
  repo_dir.git("branch remora-wip");
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  const auto done = store->publish(p).value();
  BOOST_REQUIRE(done.branch_error.has_value());
  BOOST_TEST(failed_with(*done.branch_error, errc::repository));
  BOOST_TEST(ref(wip) == p.what.commit.hex());
}

BOOST_AUTO_TEST_CASE(without_a_branch_there_is_only_the_record) {
  checkpoint::store quiet(*repo, *objects, false);
  const auto p = quiet.prepare(request(1, {{"a.txt", "two\n"}})).value();
  BOOST_REQUIRE(quiet.publish(p).has_value());
  BOOST_REQUIRE(quiet.mend_branch(run, task).has_value());
  BOOST_TEST(repo_dir.git("for-each-ref refs/heads/remora-wip") == "");
}

BOOST_AUTO_TEST_CASE(G3_another_store_sees_each_checkpoint_at_once) {
  process other(repo_dir.path());
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  BOOST_TEST((other.store.newest(run, task).value()->commit == first.commit));
  const auto p = other.store.prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  BOOST_REQUIRE(other.store.publish(p).has_value());
  BOOST_TEST((store->newest(run, task).value()->commit == p.what.commit));
}

// --- crashes ---

BOOST_AUTO_TEST_CASE(F1_a_branch_of_no_bytes_is_rebuilt) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  write_bytes(repo_dir.path() / ".git" / branch, "");
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  BOOST_TEST(!store->publish(p).value().branch_error.has_value());
  BOOST_TEST(ref(branch) == p.what.files.hex());
  write_bytes(repo_dir.path() / ".git" / branch, "");
  BOOST_REQUIRE(store->mend_branch(run, task).has_value());
  BOOST_TEST(ref(branch) == p.what.files.hex());
  write_bytes(repo_dir.path() / ".git" / branch, "");
  BOOST_REQUIRE(store->remove(p.what).has_value());
  BOOST_TEST(repo_dir.git("for-each-ref refs/heads/remora-wip") == "");
  BOOST_TEST(!std::filesystem::exists(repo_dir.path() / ".git" / branch));
}

BOOST_AUTO_TEST_CASE(X1_a_crash_before_the_swap_is_made_good) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  process next(repo_dir.path());
  BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old).value());
  BOOST_TEST(ref(wip) == p.what.commit.hex());
  BOOST_TEST(ref(branch) == p.what.files.hex());
}

BOOST_AUTO_TEST_CASE(C18_what_is_kept_aside_has_its_own_name_or_it_is_an_error) {
  const git::oid foreign = foreign_commit();
  const std::string below = checkpoint::foreign_refs(run, task);
  for (int i = 0; i < 2; ++i)
    BOOST_TEST(checkpoint::keep_aside(*repo, below, foreign).value() == aside(foreign));
  set_ref(aside(foreign), base.hex());
  BOOST_TEST(checkpoint::keep_aside(*repo, below, foreign).error().is(errc::ref_moved));
  BOOST_TEST(ref(aside(foreign)) == base.hex());
}

BOOST_AUTO_TEST_CASE(X1_a_crash_before_the_first_swap_is_made_good) {
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  process next(repo_dir.path());
  checkpoint::store::published how;
  BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old, &how).value());
  BOOST_TEST(!how.kept);
  BOOST_TEST(!how.was_missing);
  BOOST_TEST(ref(wip) == p.what.commit.hex());
}

BOOST_AUTO_TEST_CASE(X1_a_crash_between_ref_and_branch_is_made_good) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  set_ref(wip, p.what.commit.hex());
  process next(repo_dir.path());
  BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old).value());
  BOOST_TEST(ref(branch) == p.what.files.hex());
}

BOOST_AUTO_TEST_CASE(X2_recovery_can_be_repeated) {
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  for (int i = 0; i < 3; ++i) {
    process next(repo_dir.path());
    BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old).value());
    BOOST_TEST(ref(wip) == p.what.commit.hex());
  }
  BOOST_TEST(repo_dir.git("for-each-ref refs/remora/foreign") == "");
}

BOOST_AUTO_TEST_CASE(F1_a_checkpoint_whose_objects_are_not_whole_never_happened) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  auto r = request(2, {{"a.txt", "three\n"}, {"b.txt", "b\n"}}, first.commit);
  r.mind.transcript = {{attempt_no(1), "out", "", ""}};
  const auto p = store->prepare(r).value();
  const std::string name = p.what.commit.hex();
  const std::vector<git::oid> objects_of{repo_dir.id(p.what.files.hex() + ":b.txt"),
                                         repo_dir.id(name + ":transcript/1/out/00/00"),
                                         repo_dir.id(name + ":transcript/1"),
                                         p.what.files_tree,
                                         p.what.mind,
                                         p.what.files,
                                         p.what.commit};
  for (const git::oid& id : objects_of) {
    const std::string saved = read_bytes(object_path(id));
    empty_object(id);
    process next(repo_dir.path());
    BOOST_TEST(!next.store.recover(run, task, p.what.commit, p.old).value(), id.hex());
    BOOST_TEST(ref(wip) == first.commit.hex());
    delete_object(id);
    BOOST_TEST(!next.store.recover(run, task, p.what.commit, p.old).value(), id.hex());
    write_bytes(object_path(id), saved);
  }
  process next(repo_dir.path());
  BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old).value());
}

BOOST_AUTO_TEST_CASE(F1_a_kept_commit_must_be_whole_too) {
  repo_dir.write("agent.txt", "by the agent\n");
  const git::oid mine = repo_dir.commit("agent");
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.head.commit = mine;
  const auto p = store->prepare(r).value();
  empty_object(repo_dir.id(mine.hex() + ":agent.txt"));
  process next(repo_dir.path());
  BOOST_TEST(!next.store.recover(run, task, p.what.commit, p.old).value());
}

BOOST_AUTO_TEST_CASE(C18_recovery_keeps_a_foreign_value_too) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit)).value();
  const git::oid foreign = foreign_commit();
  set_ref(wip, foreign.hex());
  process next(repo_dir.path());
  checkpoint::store::published how;
  BOOST_TEST(next.store.recover(run, task, p.what.commit, p.old, &how).value());
  BOOST_TEST((how.kept == aside(foreign)));
  BOOST_TEST(ref(wip) == p.what.commit.hex());
}

BOOST_AUTO_TEST_CASE(recovery_refuses_a_checkpoint_of_another_task) {
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  const task_id other = task_id::parse("other").value();
  BOOST_TEST(failed_with(store->recover(run, other, p.what.commit, {}).error(), errc::foreign));
  BOOST_TEST(failed_with(store->recover(run, task, base, {}).error(), errc::foreign));
}

// --- the end of a task ---

BOOST_AUTO_TEST_CASE(X5_removing_deletes_ref_and_branch_and_can_be_repeated) {
  const auto made = chain(2);
  for (int i = 0; i < 2; ++i) {
    BOOST_REQUIRE(store->remove(made.back()).has_value());
    BOOST_TEST(ref(wip) == "");
    BOOST_TEST(ref(branch) == "");
  }
  BOOST_TEST(!store->newest(run, task).value().has_value());
  BOOST_TEST(store->history(run, task).value().empty());
  BOOST_TEST(store->all().value().empty());
}

BOOST_AUTO_TEST_CASE(X5_a_newer_checkpoint_is_never_removed) {
  const auto made = chain(2);
  const auto removed = store->remove(made.front());
  BOOST_REQUIRE(removed.has_error());
  BOOST_TEST(failed_with(removed.error(), errc::ref_moved));
  BOOST_TEST(ref(wip) == made.back().commit.hex());
  BOOST_TEST(ref(branch) == made.back().files.hex());
}

BOOST_AUTO_TEST_CASE(X1_a_crash_between_the_two_deletions_is_made_good) {
  const auto made = chain(2);
  repo_dir.git("update-ref -d " + wip);
  BOOST_REQUIRE(store->mend_branch(run, task).has_value());
  BOOST_TEST(ref(branch) == "");
}

BOOST_AUTO_TEST_CASE(a_branch_that_lags_behind_is_removed) {
  const auto made = chain(2);
  set_ref(branch, made.front().files.hex());
  BOOST_REQUIRE(store->remove(made.back()).has_value());
  BOOST_TEST(ref(branch) == "");
}

BOOST_AUTO_TEST_CASE(G11_a_branch_that_somebody_committed_to_is_not_removed) {
  const auto made = chain(1);
  const git::oid theirs = foreign_commit();
  set_ref(branch, theirs.hex());
  BOOST_REQUIRE(store->remove(made.back()).has_value());
  BOOST_TEST(ref(wip) == "");
  BOOST_TEST(ref(branch) == theirs.hex());
  BOOST_REQUIRE(store->mend_branch(run, task).has_value());
  BOOST_TEST(ref(branch) == theirs.hex());
}

// --- looking for records ---

BOOST_AUTO_TEST_CASE(all_finds_every_task_and_ignores_other_refs) {
  save(request(1, {{"a.txt", "two\n"}}));
  task = task_id::parse("lexer").value();
  save(request(1, {{"a.txt", "three\n"}}));
  set_ref("refs/remora/wip/nonsense/x", base.hex());
  set_ref("refs/remora/wip/single", base.hex());
  const auto found = store->all().value();
  BOOST_REQUIRE(found.size() == 2u);
  BOOST_TEST(found[0].second.str() == "lexer");
  BOOST_TEST(found[1].second.str() == "parser");
}

BOOST_AUTO_TEST_CASE(what_the_ref_should_not_hold_is_foreign) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  set_ref(wip, base.hex());
  BOOST_TEST(failed_with(store->newest(run, task).error(), errc::foreign));
  set_ref(wip, first.files.hex());
  BOOST_TEST(failed_with(store->newest(run, task).error(), errc::foreign));
  set_ref(wip, first.files_tree.hex());
  BOOST_TEST(failed_with(store->newest(run, task).error(), errc::foreign));
  const task_id other = task_id::parse("other").value();
  set_ref(checkpoint::wip_ref(run, other), first.commit.hex());
  BOOST_TEST(failed_with(store->newest(run, other).error(), errc::foreign));
}

BOOST_AUTO_TEST_CASE(X7_a_record_in_a_newer_format_is_not_taken_for_ours) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  std::string message = checkpoint::record_message(first);
  message.replace(message.find("Format: 1"), 9, "Format: 2");
  const git::oid parents[] = {first.files};
  const git::oid newer =
      objects->commit(first.mind, parents, git::remora_signature(1), message).value();
  BOOST_REQUIRE(objects->barrier().has_value());
  set_ref(wip, newer.hex());
  BOOST_TEST(failed_with(store->newest(run, task).error(), errc::unsupported));
}

BOOST_AUTO_TEST_CASE(a_named_commit_that_is_no_parent_is_corrupt) {
  const auto made = chain(2);
  const git::oid parents[] = {made[1].files};
  const git::oid orphan = objects
                              ->commit(made[1].mind, parents, git::remora_signature(1),
                                       checkpoint::record_message(made[1]))
                              .value();
  BOOST_TEST(failed_with(checkpoint::read_record(*repo, orphan).error(), errc::corrupt));
}

BOOST_AUTO_TEST_CASE(G13_history_stops_at_the_damage) {
  const auto made = chain(4);
  empty_object(made[1].commit);
  const auto found = store->history(run, task).value();
  BOOST_REQUIRE(found.size() == 2u);
  BOOST_TEST((found[0].commit == made[3].commit));
  BOOST_TEST((found[1].commit == made[2].commit));
}

BOOST_AUTO_TEST_CASE(G13_the_newest_readable_checkpoint_is_found_behind_damaged_ones) {
  const auto made = chain(3);
  BOOST_TEST((store->newest_readable(run, task).value().commit == made[2].commit));
  delete_object(repo_dir.id(made[2].commit.hex() + ":manifest.json"));  // shared by all three
  BOOST_TEST(failed_with(store->newest_readable(run, task).error(), errc::corrupt));
}

BOOST_AUTO_TEST_CASE(G13_damaged_files_lead_to_the_checkpoint_before) {
  const auto made = chain(3);
  empty_object(repo_dir.id(made[2].files.hex() + ":a.txt"));
  BOOST_TEST((store->newest_readable(run, task).value().commit == made[1].commit));
}

BOOST_AUTO_TEST_CASE(G13_behind_a_damaged_record_only_the_journal_leads_on) {
  const auto made = chain(3);
  empty_object(made[2].commit);
  BOOST_TEST(failed_with(store->newest(run, task).error(), errc::corrupt));
  const auto lost = store->newest_readable(run, task);
  BOOST_REQUIRE(lost.has_error());
  BOOST_TEST(failed_with(lost.error(), errc::corrupt));
  BOOST_TEST(lost.error().what.find(made[2].commit.hex()) != std::string::npos);
  const std::vector<git::oid> journal{made[2].commit, made[1].commit};
  BOOST_TEST((store->newest_readable(run, task, journal).value().commit == made[1].commit));
  const task_id other = task_id::parse("other").value();
  BOOST_TEST(failed_with(store->newest_readable(run, other).error(), errc::no_match));
}

BOOST_AUTO_TEST_SUITE_END()

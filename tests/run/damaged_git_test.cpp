// G13: what a task goes on from, and its result, where git has lost something.
#include <remora/checkpoint/foreign.hpp>
#include <remora/git/worktree.hpp>
#include <remora/run/git_jobs.hpp>

#include <failing_call.hpp>
#include <remora/git/left_out.hpp>

#include "../checkpoint/fixture.hpp"
#include "run/recover.hpp"
#include "run/slot_branch.hpp"

using namespace remora;

namespace {

/// The agent committed once and went on; its checkpoint is saved.
struct world : test::fixture {
  std::string task_branch = checkpoint::task_branch(run, task);
  git::oid agents;

  git::oid commit_of_the_agent() {
    const git::oid tree = tree_of({{"a.txt", "agent\n"}});
    const git::oid parents[] = {base};
    agents = objects->commit(tree, parents, git::remora_signature(1), "agent").value();
    BOOST_REQUIRE(objects->barrier().has_value());
    repo_dir.git("update-ref " + task_branch + " " + agents.hex());
    return agents;
  }
  checkpoint::record save_on(const git::oid& head, std::uint32_t number,
                             std::optional<git::oid> previous = {}) {
    auto r = request(number, {{"a.txt", "last\n"}}, previous);
    r.files.head.commit = head;
    return save(std::move(r));
  }
  run::result_request result_of(const checkpoint::record& r) const {
    return {.run = run,
            .task = task,
            .title = "t",
            .record = r.commit,
            .base = base,
            .branch = task_branch,
            .aside = checkpoint::foreign_refs(run, task),
            .rules = {},
            .published = {},
            .published_whole = true};
  }
  run::result_made publish(const checkpoint::record& r) {
    run::git_worker worker(git::repository::discover(repo_dir.path()).value());
    return run::publish_result(&worker, result_of(r)).value();
  }
  /// For the task to go on from `record`.
  run::slot_request new_slot(const git::oid& record) const {
    run::slot_request request;
    request.branch = task_branch;
    request.base = base;
    request.record = record;
    request.aside = checkpoint::foreign_refs(run, task);
    request.slots_root = repo_dir.beside("slots");
    std::filesystem::create_directories(request.slots_root);
    return request;
  }
  std::string shown(const git::oid& commit) const {
    return repo_dir.git("show " + commit.hex() + ":a.txt");
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(damaged_git, world)

BOOST_AUTO_TEST_CASE(a_result_is_built_on_the_agents_commit) {
  const auto r = save_on(commit_of_the_agent(), 1);
  const auto made = publish(r);
  BOOST_TEST(made.remark == "");
  BOOST_TEST((repo->read_commit(made.commit)->parents == std::vector{agents}));
}

BOOST_AUTO_TEST_CASE(G13_where_the_agents_commit_is_gone_the_result_is_built_on_the_one_before) {
  const auto first = save_on(base, 1);
  const auto r = save_on(commit_of_the_agent(), 2, first.commit);
  delete_object(agents);
  const auto made = publish(r);
  BOOST_TEST(made.remark.find(agents.hex()) != std::string::npos, made.remark);
  BOOST_TEST((repo->read_commit(made.commit)->parents == std::vector{base}));
  BOOST_TEST(shown(made.commit) == "last");
  BOOST_TEST(ref(task_branch) == made.commit.hex());
  repo_dir.git("rev-list --objects " + task_branch);
}

BOOST_AUTO_TEST_CASE(G13_no_log_names_a_damaged_commit_that_the_users_gc_would_fail_of) {
  const auto first = save_on(base, 1);
  run::slot_request request;
  request.branch = task_branch;
  request.base = base;
  request.record = first.commit;
  const auto damage = [&] { delete_object(repo->read_commit(commit_of_the_agent())->tree); };
  const auto collects = [&] {
    repo_dir.git("gc -q --prune=now");
    repo_dir.git("update-ref -d " + task_branch);
    open_again();
  };
  damage();
  BOOST_TEST(run::mend_branch(*repo, *store, request).value() != "");
  collects();
  damage();
  BOOST_TEST(run::free_branch(*repo, *store, request).value() != "");
  collects();
  damage();
  publish(first);
  collects();
}

BOOST_AUTO_TEST_CASE(G13_a_result_takes_the_place_of_a_branch_that_holds_no_commit) {
  const auto r = save_on(commit_of_the_agent(), 1);
  const std::string nothing(40, 'a');
  for (const std::string& bytes : {std::string(), std::string("no id\n"), nothing + "\n"}) {
    repo_dir.write(".git/" + task_branch, bytes);
    const auto made = publish(r);
    BOOST_TEST(ref(task_branch) == made.commit.hex());
    BOOST_TEST(shown(made.commit) == "last");
  }
}

BOOST_AUTO_TEST_CASE(G13_where_nobody_knows_what_a_result_lacks_its_worktree_stays) {
  const auto r = save_on(commit_of_the_agent(), 1);
  run::result_request again = result_of(r);
  again.published = publish(r).commit;
  again.published_whole = false;
  delete_object(r.mind);
  run::git_worker worker(git::repository::discover(repo_dir.path()).value());
  const auto made = run::publish_result(&worker, again).value();
  BOOST_TEST(!made.whole);
  BOOST_REQUIRE(made.left_out.size() == 1u);
  BOOST_TEST(git::is_nowhere_else(made.left_out[0].reason));
}

BOOST_AUTO_TEST_CASE(G13_a_branch_that_holds_no_commit_is_put_back_before_its_worktree_is_used) {
  const auto r = save_on(commit_of_the_agent(), 1);
  run::slot_request request;
  request.branch = task_branch;
  request.base = base;
  request.record = r.commit;
  BOOST_TEST(run::mend_branch(*repo, *store, request).value() == "");
  for (const std::string& bytes :
       {std::string(), std::string("no id\n"), std::string(40, 'a') + "\n"}) {
    repo_dir.write(".git/" + task_branch, bytes);
    BOOST_TEST(run::mend_branch(*repo, *store, request).value() != "");
    BOOST_TEST(ref(task_branch) == agents.hex());
  }
  repo_dir.git("update-ref -d " + task_branch);
  BOOST_TEST(run::mend_branch(*repo, *store, request).value() != "");
  BOOST_TEST(ref(task_branch) == agents.hex());
}

BOOST_AUTO_TEST_CASE(G6_a_packed_branch_is_freed_though_the_lock_of_packed_refs_is_stuck) {
  run::slot_request request;
  request.branch = task_branch;
  request.base = base;
  request.record = save_on(commit_of_the_agent(), 1).commit;
  repo_dir.git("pack-refs --all");
  repo_dir.write(".git/packed-refs.lock", "");
  BOOST_TEST(run::free_branch(*repo, *store, request).value() == "");
  BOOST_TEST(ref(task_branch) == base.hex());
}

BOOST_AUTO_TEST_CASE(G3_a_branch_that_moves_while_it_is_freed_is_kept_aside_as_it_is_then) {
  run::slot_request request = new_slot(save_on(base, 1).commit);
  commit_of_the_agent();
  const git::oid parents[] = {agents};
  const git::oid later =
      objects->commit(repo->read_commit(base)->tree, parents, git::remora_signature(2), "x")
          .value();
  BOOST_REQUIRE(objects->barrier().has_value());
  run::git_worker worker(git::repository::discover(repo_dir.path()).value());
  worker.repo.guard_refs([&]() -> result<void> {
    if (ref(task_branch) == agents.hex())
      repo_dir.git("update-ref " + task_branch + " " + later.hex());
    return {};
  });
  const auto slot = run::make_slot(&worker, request, {});
  BOOST_REQUIRE(slot.has_value());
  BOOST_TEST(ref(task_branch) == base.hex());
  const auto aside = repo->list_refs(request.aside).value();
  BOOST_TEST(std::ranges::count(aside, later, &git::ref_info::target) == 1);
}

BOOST_AUTO_TEST_CASE(F5_a_branch_is_not_taken_from_a_worktree_that_cannot_be_looked_at) {
  const auto slots = repo_dir.beside("slots");
  std::filesystem::create_directories(slots);
  BOOST_REQUIRE(git::add_worktree(*repo, slots / "1", task_branch, base, {}).has_value());
  run::slot_request request;
  request.branch = task_branch;
  request.base = base;
  request.slots_root = slots;
  request.abandoned = (slots / "1").string();
  for (const char* end : {"/worktrees/1/HEAD", "/worktrees/1/gitdir", "/slots/1/.git"}) {
    const test::failing_call failing("openat", end, EMFILE, 1);
    BOOST_TEST(run::free_branch(*repo, *store, request).error().is_errno(EMFILE), end);
    BOOST_TEST(failing.left() == 0);
  }
  BOOST_TEST(run::free_branch(*repo, *store, request).value() == "");
  BOOST_TEST(std::filesystem::exists(slots / "1/a.txt"));
}

BOOST_AUTO_TEST_CASE(G13_without_a_whole_checkpoint_a_task_goes_on_in_its_worktree_or_says_so) {
  const auto made = chain(2);
  BOOST_REQUIRE((made[0].mind == made[1].mind));
  delete_object(made[0].mind);
  const auto plan = run::parse_plan(
                        "version: 1\nrepo: /r\nagents: {sh: {adapter: text, command: "
                        "[sh]}}\ntasks: [{id: parser, prompt: p}]\n",
                        "p")
                        .value();
  run::task_fold fold;
  fold.id = task.str();
  fold.base = base;
  fold.saved = run::checkpoint_mark{made[1].number, made[1].commit, made[1].files, {}, "turn"};
  fold.records = {made[0].commit, made[1].commit};
  auto recovered = run::recover_task(*repo, *objects, run, plan.tasks[0], fold);
  BOOST_REQUIRE(recovered.has_error());
  BOOST_TEST(recovered.error().what.find("no older one is whole") != std::string::npos);

  const auto slots = repo_dir.beside("slots");
  std::filesystem::create_directories(slots / "1");
  BOOST_REQUIRE(git::add_worktree(*repo, slots / "1", task_branch, base, {}).has_value());
  fold.slot = (slots / "1").string();
  fold.slot_boot = boot_id();
  fold.slot_used = true;
  recovered = run::recover_task(*repo, *objects, run, plan.tasks[0], fold);
  BOOST_REQUIRE(recovered.has_value());
  BOOST_TEST(!recovered->start.record.has_value());
  BOOST_TEST((recovered->start.number == made[1].number));
  BOOST_TEST((recovered->start.base == base));
  BOOST_TEST(recovered->remarks.back().find(fold.slot) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(G13_a_base_that_cannot_be_checked_out_is_for_its_owner_to_mend) {
  const auto made = chain(1);
  const auto file = repo->find(repo->read_commit(base)->tree, "a.txt").value();
  delete_object(file->id);
  run::slot_request request;
  request.branch = task_branch;
  request.base = base;
  request.record = made[0].commit;
  request.slots_root = repo_dir.beside("slots");
  std::filesystem::create_directories(request.slots_root);
  run::git_worker worker(git::repository::discover(repo_dir.path()).value());
  const auto slot = run::make_slot(&worker, request, {});
  BOOST_REQUIRE(slot.has_error());
  BOOST_TEST(test::failed_with(slot.error(), errc::corrupt));
  BOOST_TEST(slot.error().what.find("the base " + base.hex() + " is damaged") != std::string::npos);
  BOOST_TEST(ref(task_branch) == "");
  BOOST_TEST(std::filesystem::is_empty(request.slots_root));

  repo_dir.write("a.txt", "one\n");
  repo_dir.git("hash-object -w a.txt");
  BOOST_TEST(run::make_slot(&worker, request, {}).has_value());
}

BOOST_AUTO_TEST_CASE(G13_the_files_of_a_commit_that_is_lost_come_back_on_the_base) {
  commit_of_the_agent();
  delete_object(repo->read_commit(agents)->tree);
  open_again();
  run::slot_request request = new_slot(save_on(agents, 1).commit);
  const auto goes_on = [&] {
    run::git_worker worker(git::repository::discover(repo_dir.path()).value());
    const auto slot = run::make_slot(&worker, request, {});
    BOOST_REQUIRE_MESSAGE(slot.has_value(), slot.error().what);
    const auto& root = slot->workspace->tree.root;
    BOOST_TEST(slot->head_note.find(agents.hex()) != std::string::npos, slot->head_note);
    BOOST_TEST(test::read_bytes(root / "a.txt") == "last\n");
    BOOST_TEST(ref(task_branch) == base.hex());
    BOOST_TEST(repo_dir.git("-C " + root.string() + " status --porcelain") == " M a.txt");
    request.discard = root;
  };
  goes_on();
  delete_object(agents);
  goes_on();
}

BOOST_AUTO_TEST_CASE(G13_a_commit_whose_parents_were_not_fetched_is_not_lost) {
  const git::oid parents[] = {git::oid::parse(std::string(40, 'a')).value()};
  const git::oid tip = objects
                           ->commit(tree_of({{"a.txt", "theirs\n"}}), parents,
                                    git::remora_signature(1), "of a shallow clone")
                           .value();
  BOOST_REQUIRE(objects->barrier().has_value());
  BOOST_TEST(!store->is_sound(tip, base).value());
  repo_dir.write(".git/shallow", tip.hex() + "\n");
  open_again();
  BOOST_TEST(store->is_sound(tip, base).value());
}

BOOST_AUTO_TEST_CASE(P13_a_slot_that_is_gone_and_reserved_again_is_not_its_former_tasks) {
  const auto slots = repo_dir.beside("slots");
  std::filesystem::create_directories(slots);
  const auto slot = slots / "1";
  BOOST_REQUIRE(git::add_worktree(*repo, slot, task_branch, base, {}).has_value());
  BOOST_TEST(run::is_slot_of(*repo, slot, task_branch).value());
  BOOST_TEST(!run::is_slot_of(*repo, slot, task_branch + "-other").value());
  std::filesystem::remove_all(slot);
  BOOST_TEST(!run::is_slot_of(*repo, slot, task_branch).value());
  std::filesystem::create_directories(slot);  // git's entry still says whose it was
  BOOST_TEST(!run::is_slot_of(*repo, slot, task_branch).value());
}

BOOST_AUTO_TEST_SUITE_END()

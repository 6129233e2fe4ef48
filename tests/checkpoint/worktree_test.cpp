// From one worktree through a checkpoint into another: what the pieces are for.
#include <remora/git/restore.hpp>

#include "fixture.hpp"

using namespace remora;
using namespace remora::test;

namespace {

struct two_worktrees : fixture {
  git::worktree add(const std::string& name, const std::string& ref) {
    return git::add_worktree(*repo, repo_dir.beside(name), ref, base, {}).value();
  }
  git::snapshot take(const git::worktree& tree, const std::string& ref) {
    git::snapshot_rules rules;
    rules.branch = ref;
    auto taker = git::snapshotter::open(*repo, tree, base, rules).value();
    return taker.take(*repo, *objects, {}).value();
  }
  std::string status(const git::worktree& tree) const {
    return repo_dir.git_in(tree.root, "status --porcelain=v2") + "\n" +
           repo_dir.git_in(tree.root, "diff --cached") + "\n" +
           repo_dir.git_in(tree.root, "rev-parse HEAD");
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(worktree, two_worktrees)

BOOST_AUTO_TEST_CASE(an_agents_worktree_is_there_again_from_its_record_alone) {
  const git::worktree from = add("from", "refs/heads/remora/x/from");
  write_bytes(from.root / "agent.txt", "committed\n");
  repo_dir.git_in(from.root, "add -A");
  repo_dir.git_in(from.root, "commit -q -m agent");
  write_bytes(from.root / "a.txt", "staged\n");
  repo_dir.git_in(from.root, "add a.txt");
  write_bytes(from.root / "a.txt", "staged and changed\n");
  write_bytes(from.root / "new/untracked.txt", std::string("raw\0\r\n", 6));
  std::filesystem::remove(from.root / "agent.txt");

  auto r = request(1, {});
  r.files = take(from, "refs/heads/remora/x/from");
  const auto saved = save(std::move(r));
  const std::string before = status(from);
  BOOST_REQUIRE(git::remove_worktree(*repo, from.root).has_value());
  repo_dir.git("branch -q -D remora/x/from");
  repo_dir.git("-c gc.reflogExpire=now gc -q --prune=now");

  repo = git::repository::discover(repo_dir.path()).value();
  const auto found = store->newest(run, task).value();
  BOOST_REQUIRE(found.has_value());
  BOOST_TEST((found->commit == saved.commit));
  const git::worktree to = add("to", "refs/heads/remora/x/to");
  BOOST_REQUIRE(git::restore_worktree(*repo, to, "refs/heads/remora/x/to",
                                      store->read_snapshot(*found).value(), {})
                    .has_value());
  BOOST_TEST(status(to) == before);
  BOOST_TEST(read_bytes(to.root / "a.txt") == "staged and changed\n");
  BOOST_TEST(read_bytes(to.root / "new/untracked.txt") == std::string("raw\0\r\n", 6));
  BOOST_TEST(!std::filesystem::exists(to.root / "agent.txt"));
}

BOOST_AUTO_TEST_CASE(G19_a_stash_of_the_task_survives_somebody_elses_pop) {
  const git::worktree from = add("from", "refs/heads/remora/x/from");
  write_bytes(from.root / "a.txt", "stashed\n");
  repo_dir.git_in(from.root, "stash -q");
  auto r = request(1, {});
  r.files = take(from, "refs/heads/remora/x/from");
  BOOST_REQUIRE(r.files.stashes.size() == 1u);
  const git::oid stash = r.files.stashes.front();
  const auto saved = save(std::move(r));
  BOOST_TEST((saved.keep == std::vector{stash}));
  BOOST_TEST((store->read_snapshot(saved).value().stashes == std::vector{stash}));
  repo_dir.git("stash drop -q");
  repo_dir.git("gc -q --prune=now");
  BOOST_TEST(repo_dir.git("show " + stash.hex() + ":a.txt") == "stashed");
}

BOOST_AUTO_TEST_SUITE_END()

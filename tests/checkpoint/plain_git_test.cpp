// A checkpoint is for people, too: everything below is plain git.
#include "fixture.hpp"

using namespace remora;
using namespace remora::test;

namespace {

struct reading : fixture {
  std::string short_branch = branch.substr(11);
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(plain_git, reading)

BOOST_AUTO_TEST_CASE(the_branch_is_a_linear_history_of_the_files) {
  chain(3);
  const std::string log = repo_dir.git("log -p --format=%s main.." + short_branch);
  BOOST_TEST(log.find("remora: checkpoint 3 of parser (turn)") != log.npos);
  BOOST_TEST(log.find("+3") != log.npos);
  BOOST_TEST(log.find("state.json") == log.npos);
  BOOST_TEST(repo_dir.git("rev-list --count main.." + short_branch) == "3");
  BOOST_TEST(repo_dir.git("rev-list --merges --count " + short_branch) == "0");
}

BOOST_AUTO_TEST_CASE(git_reads_the_trailers_and_the_mind) {
  const auto made = chain(2);
  BOOST_TEST(repo_dir.git("log -1 --format='%(trailers:key=Remora-Files,valueonly)' " + wip) ==
             made[1].files.hex() + "\n");
  BOOST_TEST(repo_dir.git("log -1 --format='%(trailers:key=Remora-Format,valueonly)' " + wip) ==
             "1\n");
  BOOST_TEST(repo_dir.git("show " + wip + ":state.json") == "{\"schema\":\"remora.state/1\"}");
  BOOST_TEST(repo_dir.git("show " + wip + ":prompt.md") == "Fix the parser");
}

BOOST_AUTO_TEST_CASE(the_shell_lines_of_the_documentation_give_the_transcript) {
  auto r = request(1, {{"a.txt", "two\n"}});
  std::string expected;
  for (int k = 0; k < 102; ++k) {
    r.mind.transcript.push_back({attempt_no(1), std::to_string(k) + "\n", "", ""});
    expected += std::to_string(k) + "\n";
  }
  save(r);
  const auto ran = shell(repo_dir.path(), "R=" + wip + R"(
    git ls-tree -r --name-only $R transcript/1/out |
      sed 's|.*/out/||' | sort -t/ -k1n -k2n |
      while read p; do git show $R:transcript/1/out/$p; done)");
  BOOST_TEST(ran.out == expected);
}

BOOST_AUTO_TEST_CASE(checkpoints_travel_by_cherry_pick_format_patch_and_rebase) {
  chain(2);
  repo_dir.git("checkout -q -b picked main");
  repo_dir.git("cherry-pick main.." + short_branch);
  BOOST_TEST(repo_dir.read("a.txt") == "2\n");
  repo_dir.git("checkout -q -b patched main");
  repo_dir.git("format-patch -q --stdout main.." + short_branch + " > ../patches");
  repo_dir.git("am -q ../patches");
  BOOST_TEST(repo_dir.read("a.txt") == "2\n");
  repo_dir.git("checkout -q main");
  repo_dir.write("other.txt", "o\n");
  repo_dir.commit("meanwhile");
  repo_dir.git("checkout -q --detach " + short_branch);
  repo_dir.git("rebase -q main");
  BOOST_TEST(repo_dir.read("a.txt") == "2\n");
  BOOST_TEST(repo_dir.read("other.txt") == "o\n");
}

BOOST_AUTO_TEST_CASE(G7_what_a_checkpoint_names_survives_gc) {
  repo_dir.write("agent.txt", "by the agent\n");
  const git::oid mine = repo_dir.commit("agent");
  repo_dir.git("reset -q --hard " + base.hex());
  repo_dir.git("reflog expire --expire=now --all");
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.head = {mine, ""};
  const git::oid staged =
      git::oid::parse(repo_dir.git("hash-object -w --stdin < ../repo/a.txt")).value();
  const git::oid only_staged = objects->blob("only staged\n").value();
  r.files.index.entries = {{.path = "s", .mode = git::mode::file, .id = only_staged},
                           {.path = "t", .mode = git::mode::file, .id = staged}};
  const auto saved = save(r);
  repo_dir.git("-c gc.reflogExpire=now gc -q --prune=now");
  BOOST_TEST(repo_dir.git("cat-file blob " + only_staged.hex()) == "only staged");
  BOOST_TEST(repo_dir.git("show " + mine.hex() + ":agent.txt") == "by the agent");
  git::repository after = git::repository::discover(repo_dir.path()).value();
  BOOST_TEST(
      (checkpoint::read_record(after, saved.commit).value().keep == std::vector<git::oid>{mine}));
  BOOST_TEST(repo_dir.git("fsck --strict") == "");
}

BOOST_AUTO_TEST_CASE(a_clone_that_fetched_remora_refs_reads_everything) {
  const auto made = chain(2);
  repo_dir.git("init -q --bare ../clone.git");
  repo_dir.git("--git-dir=../clone.git fetch -q ../repo 'refs/remora/*:refs/remora/*'");
  git::repository there = git::repository::discover(repo_dir.beside("clone.git")).value();
  git::object_writer writer(there);
  const checkpoint::store reader(there, writer, true);
  const auto history = reader.history(run, task).value();
  BOOST_REQUIRE(history.size() == 2u);
  BOOST_TEST(reader.read_mind(history[0]).value().prompt == "Fix the parser\n");
  BOOST_TEST((reader.read_snapshot(history[0]).value().tree == made[1].files_tree));
  BOOST_TEST(reader.newest_readable(run, task).value().number.value() == 2u);
}

BOOST_AUTO_TEST_CASE(a_users_checkout_is_not_touched) {
  const std::string before = repo_dir.git("status --porcelain=v2 --branch");
  chain(2);
  BOOST_TEST(repo_dir.git("status --porcelain=v2 --branch") == before);
  BOOST_TEST(repo_dir.git("stash list") == "");
}

BOOST_AUTO_TEST_SUITE_END()

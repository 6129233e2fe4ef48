#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <set>

#include "world.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

void has_fields(const json::object& o, std::string_view schema,
                std::initializer_list<const char*> fields) {
  BOOST_TEST(std::string_view(o.at("schema").as_string()) == schema);
  for (const char* field : fields) BOOST_TEST(o.contains(field), schema << " has no " << field);
}

BOOST_AUTO_TEST_SUITE(commands)

BOOST_AUTO_TEST_CASE(a_run_tells_its_events_and_exits_with_1_when_a_task_failed) {
  const world w;
  const answer ran = w.run({"--json"});
  BOOST_TEST(ran.status == 1);
  std::set<std::string> types;
  for (const json::object& e : ran.objects()) {
    has_fields(e, "remora.event/1", {"seq", "t", "run", "type"});
    types.emplace(e.at("type").as_string());
  }
  for (const char* type :
       {"run_started", "task_queued", "task_started", "task_phase", "attempt_started",
        "checkpoint_saved", "attempt_ended", "task_ended", "run_ended"})
    BOOST_TEST(types.contains(type), "no event " << type);
  for (const char* internal : {"checkpoint_prepared", "attempt_running", "slot_lent"})
    BOOST_TEST(!types.contains(internal), internal << " was printed");
}

BOOST_AUTO_TEST_CASE(each_listing_of_a_run_says_the_same_in_text_and_in_json) {
  const world w;
  const answer ran = w.run();
  BOOST_TEST(holds(ran.out, "1 succeeded, 1 failed, 0 interrupted, 0 skipped\n"));
  const std::string id = w.last();

  BOOST_TEST(holds(w({"list"}).out, "failed      1/2 succeeded  two\n"));
  has_fields(
      w({"list", "--json"}).objects().at(0), "remora.list/1",
      {"run", "name", "state", "started", "tasks", "succeeded", "failed", "open", "resumable"});

  const answer whole = w({"show", "last"});
  BOOST_TEST(holds(whole.out, "run " + id + " (two), failed, started "));
  BOOST_TEST(holds(whole.out, "attempt 1 (sh): failed (3): no luck\n"));
  BOOST_TEST(w({"show", id, "--json"}).objects().size() == 2u);
  has_fields(w({"show", id + "/bad", "--json"}).objects().at(0), "remora.task/1",
             {"run", "task", "live", "phase", "outcome", "attempts", "checkpoints", "checkpoint",
              "slot", "ended"});
  const std::string why = w({"show", id + "/bad", "--why"}).out;
  BOOST_TEST(holds(why, "  attempt 1  running > emptying  exited: failed (3)\n"), why);
  BOOST_TEST(holds(why, "  attempt 1  saving > finished  saved: failed (3), life 1 of 1\n"), why);
  BOOST_TEST(!holds(why, "I made it"));
  has_fields(w({"show", id, "--why", "--json"}).objects().at(0), "remora.event/1",
             {"run", "seq", "t", "task", "type", "fact", "from", "to", "because"});
  const std::string good = w({"show", id + "/good"}).out;
  BOOST_TEST(holds(good, "    take: git merge remora/" + id + "/good\n"));
  BOOST_TEST(holds(good, "    said: I made it\n"));
  BOOST_TEST(holds(w({"show", id + "/bad"}).out, "    again: remora rerun " + id + "/bad\n"));

  const answer results = w({"results"});
  BOOST_TEST(holds(results.out, "1 commits, 1 files, +1 -0  remora/" + id + "/good\n"));
  BOOST_TEST(holds(results.out, "bad               failed: remora show " + id + "/bad\n"));
  BOOST_TEST(holds(results.out, "take one in: git merge remora/" + id + "/good\n"));
  has_fields(w({"results", id, "--json"}).objects().at(0), "remora.result/1",
             {"run", "task", "outcome", "branch", "commit", "branch_exists", "commits", "files",
              "verified"});
  w.repo.git("merge -q remora/" + id + "/good");
  BOOST_TEST(w.repo.read("new.txt") == "hi\n");

  BOOST_TEST(holds(w({"diff", id + "/good"}).out, "+hi\n"));
  BOOST_TEST(holds(w({"diff", id + "/bad"}).out, "+half\n"));
  BOOST_TEST(w({"log", id + "/good"}).out == "--- attempt 1 (sh): completed\nI made it\n");
  BOOST_TEST(w({"log", id + "/good", "--raw"}).out == "I made it\n");
  BOOST_TEST(w({"log", id + "/good", "--follow", "--raw"}).out == "I made it\n");
  has_fields(w({"log", id + "/good", "--json"}).objects().at(0), "remora.log/1",
             {"run", "task", "attempt", "event"});
}

BOOST_AUTO_TEST_CASE(a_checkpoint_is_listed_shown_compared_prompted_and_restored) {
  const world w;
  w.run();
  const std::string bad = w.last() + "/bad";
  has_fields(w({"checkpoint", "list", bad, "--json"}).objects().at(0), "remora.checkpoint/1",
             {"run", "task", "checkpoint", "attempt", "reason", "commit", "record", "base", "head",
              "head_ref", "seconds"});
  has_fields(w({"checkpoint", "show", bad + "@-1", "--json"}).objects().at(0),
             "remora.checkpoint/1", {"manifest", "files", "state"});
  BOOST_TEST(holds(w({"checkpoint", "list", bad}).out, "  attempt 1  "));
  BOOST_TEST(holds(w({"checkpoint", "show", bad}).out, "    A half.txt  +1 -0\n"));
  BOOST_TEST(holds(w({"checkpoint", "diff", bad + "@1"}).out, "+half\n"));
  const std::string prompt = w({"checkpoint", "prompt", bad}).out;
  for (const char* part : {"Try it.", "half.txt", "remora-wip/", "+half"})
    BOOST_TEST(holds(prompt, part), "the continuation has no " << part);

  const std::string to = w.repo.beside("there").string();
  BOOST_TEST(
      holds(w({"checkpoint", "restore", bad, "--to", to, "--dry-run"}).out, "would write 2"));
  BOOST_TEST(!std::filesystem::exists(to));
  BOOST_TEST(w({"checkpoint", "restore", bad, "--to", to}).status == 0);
  BOOST_TEST(test::read_bytes(to + "/half.txt") == "half\n");
  BOOST_TEST(w({"checkpoint", "restore", bad, "--branch", "mine"}).status == 0);
  BOOST_TEST(w.repo.git("show mine:half.txt") == "half");
  BOOST_TEST(w({"checkpoint", "restore", bad, "--branch", "mine"}).status == 2);
}

BOOST_AUTO_TEST_CASE(a_rerun_does_what_is_left_and_a_second_one_has_nothing_to_do) {
  const world w;
  w.run();
  const std::string first = w.last();
  BOOST_TEST(w({"resume", first}).status == 2);  // it has ended: that is what `rerun` is for
  w.mend();
  const answer again = w({"rerun", first + "/bad@1", "--json"});
  BOOST_TEST(again.status == 0);
  const std::string second(again.objects().front().at("run").as_string());
  BOOST_TEST(second > first);  // within the same second as well
  BOOST_TEST(second == w.last());
  BOOST_TEST(w.repo.git("show remora/" + second + "/bad:half.txt") == "whole");
  const answer third = w({"rerun", first});
  BOOST_TEST(third.status == 0);
  BOOST_TEST(holds(third.err, "nothing to rerun"));
  const answer resumed = w({"resume", second});
  BOOST_TEST(resumed.status == 0);
  BOOST_TEST(holds(resumed.err, "nothing to resume"));
  BOOST_TEST(w({"rerun", first, "--clean", "--all", "--task", "bad"}).status == 2);
  BOOST_TEST(w({"rerun", first + "/bad@1", "--clean"}).status == 2);
  // Both begin with the same year.
  const answer several = w({"show", first.substr(0, 4)});
  BOOST_TEST(several.status == 2);
  BOOST_TEST(holds(several.err, "matches 2 runs: "));
  const auto& [older, newer] = std::minmax(first, second);
  BOOST_TEST(holds(w({"list", "--after", newer}).out, older));
  BOOST_TEST(w({"list", "--after", older}).out == "");
}

BOOST_AUTO_TEST_CASE(drop_gives_up_nothing_unmerged_unless_forced_and_then_leaves_nothing) {
  const world w;
  w.run();
  const std::string id = w.last();
  const std::string before = w.refs();
  const answer refused = w({"drop", id});
  BOOST_TEST(refused.status == 2);
  BOOST_TEST(holds(refused.err, "--force"));
  BOOST_TEST(w.refs() == before);
  BOOST_TEST(w({"drop", id, "nonsense", "--force"}).status == 2);
  BOOST_TEST(w.refs() == before);
  BOOST_TEST(w({"drop", id + "/bad", "--force"}).out == "dropped " + id + "/bad\n");
  BOOST_TEST(!holds(w.refs(), "/bad"));
  BOOST_TEST(w({"drop", id, "--force"}).status == 0);
  BOOST_TEST(w.refs() == "refs/heads/main");
  BOOST_TEST(!std::filesystem::exists(w.repo.path() / ".git/remora/runs" / id));
  BOOST_TEST(w.repo.git("worktree list --porcelain | grep -c ^worktree") == "1");
}

BOOST_AUTO_TEST_CASE(prune_lists_and_with_yes_removes_what_is_merged_and_stale_directories) {
  const world w;
  w.mend();
  BOOST_TEST(w.run().status == 0);
  const std::string id = w.last();
  BOOST_TEST(w({"prune"}).out == "");  // too young
  BOOST_TEST(holds(w({"prune", id}).out, id + "  kept: result "));
  w.repo.git("merge -q --no-edit remora/" + id + "/good remora/" + id + "/bad");
  const answer listed = w({"prune", id, "--json"});
  has_fields(listed.objects().at(0), "remora.prune/1", {"run", "action", "why"});
  BOOST_TEST(holds(listed.out, "would be removed"));
  BOOST_TEST(w({"prune", id, "--yes"}).out == id + "  removed\n");
  BOOST_TEST(w.refs() == "refs/heads/main");

  const std::filesystem::path stale = w.repo.path() / ".git/remora/runs/20200102-030405-abcd";
  test::write_bytes(stale / "lock", "");
  BOOST_TEST(holds(w({"prune"}).out, "20200102-030405-abcd  would be removed"));
  BOOST_TEST(std::filesystem::exists(stale));
  w({"prune", "--yes"});
  BOOST_TEST(!std::filesystem::exists(stale));
}

BOOST_AUTO_TEST_CASE(a_closed_output_neither_stops_a_run_nor_breaks_a_listing) {
  const world w;
  w.mend();
  const std::string directory = w.repo.path().string(), plan = w.plan();
  for (const std::vector<const char*>& argv : std::vector<std::vector<const char*>>{
           {"remora", "-C", directory.c_str(), "run", plan.c_str()},
           {"remora", "-C", directory.c_str(), "list"}}) {
    std::istringstream in;
    std::ostringstream out, err;
    out.setstate(std::ios::badbit);  // what EPIPE leaves
    BOOST_TEST(cli(static_cast<int>(argv.size()), argv.data(), in, out, err) == 0);
  }
  BOOST_TEST(holds(w({"list"}).out, "2/2 succeeded"));
}

BOOST_AUTO_TEST_CASE(a_dry_run_starts_nothing) {
  const world w;
  BOOST_TEST(holds(w.run({"--dry-run"}).out, "plan two: 2 tasks, 4 at a time, in "));
  const auto tasks = w.run({"--dry-run", "--json", "--task", "good"}).objects();
  BOOST_TEST(tasks.size() == 1u);
  has_fields(tasks.at(0), "remora.preview/1",
             {"plan", "task", "agent", "adapter", "permissions", "after", "wall_ms", "program",
              "base", "base_task", "verify"});
  BOOST_TEST(w.refs() == "refs/heads/main");
}

BOOST_AUTO_TEST_CASE(a_run_without_a_plan_takes_its_prompt_from_stdin) {
  const world w;
  const answer ran = w({"run", "--agent", "text", "--prompt", "-", "--command", "sh", "--arg=-c",
                        "--arg", "cat > asked.txt"},
                       "Write it down.\n");
  BOOST_TEST(ran.status == 0, ran.err);
  BOOST_TEST(holds(w({"diff", "last/task"}).out, "+Write it down.\n"));
}

BOOST_AUTO_TEST_CASE(agents_parse_prints_events_and_the_outcome) {
  const answer parsed = remora({"agents", "parse", "text", "--exit-code", "3"}, "hello\n");
  BOOST_TEST(parsed.status == 0);
  BOOST_TEST(std::string_view(parsed.objects().front().at("type").as_string()) == "message");
  BOOST_TEST(std::string_view(parsed.objects().back().at("type").as_string()) == "outcome");
  BOOST_TEST(remora({"agents", "parse", "nobody"}).status == 2);
  BOOST_TEST(remora({"agents", "parse", "text", "--signal", "SIGNOTHING"}).status == 2);
  for (const json::object& o : remora({"agents", "--json"}).objects())
    has_fields(
        o, "remora.agent/1",
        {"adapter", "program", "path", "argv", "environment", "pass_env", "native_sessions"});
}

BOOST_AUTO_TEST_CASE(init_writes_a_plan_once) {
  const world w;
  BOOST_TEST(w({"init"}).status == 0);
  BOOST_TEST(holds(w.repo.read("remora.yaml"), "version: 1\n"));
  const answer again = w({"init"});
  BOOST_TEST(again.status == 2);
  BOOST_TEST(holds(again.err, "left as it is"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front

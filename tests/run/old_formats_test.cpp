// X7: what an earlier version wrote. A fixture a published version: a run that was killed, its
// journal and its repository (`git fast-import`).
#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/agent/state.hpp>
#include <remora/run/view.hpp>

#include "repo.hpp"

using namespace remora;

namespace {

struct version_1 {
  version_1() {
    git::initialise();
    files.git("fast-import --quiet < " + from("repository.fast-export"));
    test::write_bytes(layout.journal(), test::read_bytes(from("journal.jsonl")));
    repo.emplace(git::repository::discover(files.path()).value());
  }
  static std::string from(const char* name) {
    return std::string(REMORA_SOURCE_DIR) + "/tests/run/fixtures/run-1/" + name;
  }

  test::test_repo files;
  run_id id = run_id::parse("20261121-213626-irry").value();
  task_id open = task_id::parse("open").value();
  run::run_layout layout{files.path() / ".git", id};
  std::optional<git::repository> repo;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(old_formats, version_1)

BOOST_AUTO_TEST_CASE(X7_the_journal_of_version_1_folds_as_it_did) {
  BOOST_TEST(run::read_journal(layout.journal())->records.size() == 35u);
  const run::run_view view = run::load_run(*repo, id).value();
  BOOST_TEST(view.local);
  BOOST_TEST(view.state() == "interrupted");
  BOOST_TEST((view.fold.order == std::vector<std::string>{"done", "open", "waiting"}));
  const run::task_fold& ended = view.fold.tasks.at("done");
  BOOST_TEST(ended.outcome() == "succeeded");
  BOOST_TEST(ended.published.hex() == "e1ba00c11349740ccd4564ec7363680d5c9d722b");
  const run::task_fold& task = view.fold.tasks.at("open");
  BOOST_TEST(!task.has_ended());
  BOOST_TEST(task.attempts.size() == 2u);
  BOOST_TEST(task.attempt_is_open());
  BOOST_TEST(task.counted() == 1u);
  BOOST_TEST(task.slot_used);
  BOOST_TEST(task.saved.value().number.value() == 2u);
  BOOST_TEST(task.saved->record.hex() == "e484e1dd56a307f75be10041a9a6113d469166b5");
  BOOST_TEST(view.fold.tasks.at("waiting").attempts.empty());
}

BOOST_AUTO_TEST_CASE(X7_the_record_of_version_1_is_read_without_the_journal) {
  const run::recorded_run recorded = run::read_run(*repo, id).value();
  BOOST_TEST(!recorded.ended());
  BOOST_TEST(recorded.tasks.size() == 1u);
  BOOST_TEST(std::string_view(recorded.tasks.at("done").at("outcome").as_string()) == "succeeded");
  const auto plan = run::plan_from_json(recorded.run.at("plan").as_object());
  BOOST_REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().what));
  BOOST_TEST(plan->tasks.size() == 3u);
  BOOST_TEST(plan->tasks[2].after.front().str() == "open");
  BOOST_TEST(run::read_task_file(*repo, recorded, "done", "prompt.md")->has_value());
}

BOOST_AUTO_TEST_CASE(X7_the_checkpoint_of_version_1_is_whole_and_its_state_is_read) {
  git::object_writer objects(*repo);
  const checkpoint::store store(*repo, objects, true);
  const auto newest = store.newest_readable(id, open);
  BOOST_REQUIRE_MESSAGE(newest, (newest ? "" : newest.error().what));
  BOOST_TEST(newest->number.value() == 2u);
  const agent::state mind = agent::state::from_json(store.read_state(*newest).value()).value();
  BOOST_TEST(mind.attempts().size() == 2u);
  BOOST_TEST(mind.notes().find("keep it small") != std::string::npos);
  BOOST_TEST(store.read_transcript(*newest, attempt_no(2), "out").value() == "still at it\n");
}

BOOST_AUTO_TEST_SUITE_END()

// The run's record: what its commits say after some that failed.
#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/run/run_record.hpp>

#include "repo.hpp"
#include "watched_sync.hpp"

using namespace remora;
namespace fs = std::filesystem;

namespace {

struct record_fixture {
  test::test_repo files;
  run_id id = run_id::parse("20260102-000000-aaaa").value();
  std::optional<git::repository> repo;
  std::optional<git::object_writer> objects;
  std::optional<run::run_record_writer> writer;

  record_fixture() {
    git::initialise();
    files.write("a.txt", "one\n");
    const git::oid base = files.commit("base");
    repo.emplace(git::repository::discover(files.path()).value());
    objects.emplace(*repo);
    writer.emplace(*repo, *objects, id);
    BOOST_REQUIRE(writer->start({{"schema", run::run_schema}}, {}, {base}).has_value());
  }
  bool end(const char* task) {
    return writer->task_ended(task_id::parse(task).value(), {{"outcome", "succeeded"}}, {}, {})
        .has_value();
  }
  std::vector<std::string> recorded() {
    std::vector<std::string> names;
    const auto record = run::read_run(*repo, id);
    BOOST_REQUIRE(record.has_value());
    for (const auto& [name, said] : record->tasks) names.push_back(name);
    return names;
  }
  void check(const std::vector<std::string>& wanted) {
    const auto found = recorded();
    BOOST_TEST(found == wanted, boost::test_tools::per_element());
    BOOST_TEST(files.git("fsck --strict --no-dangling") == "");
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(run_records, record_fixture)

BOOST_AUTO_TEST_CASE(F4_what_a_commit_that_failed_was_to_say_is_not_said_by_the_next_one) {
  BOOST_REQUIRE(end("first"));
  const fs::path lock = files.path() / ".git" / (checkpoint::run_ref(id) + ".lock");
  test::write_bytes(lock, "");
  BOOST_TEST(!end("lost"));
  BOOST_TEST(!writer->finish({{"exit", 0}}, "").has_value());
  fs::remove(lock);
  BOOST_TEST(!writer->has_task(task_id::parse("lost").value()));
  BOOST_REQUIRE(end("second"));
  check({"first", "second"});
  BOOST_TEST(!run::read_run(*repo, id)->ended());
  BOOST_REQUIRE(end("lost"));  // tried again
  check({"first", "lost", "second"});
}

BOOST_AUTO_TEST_CASE(F4_the_next_commit_goes_on_where_only_the_sync_of_the_ref_failed) {
  BOOST_REQUIRE(end("first"));
  {
    test::watched_sync syncs;
    syncs.fail_at("refs/remora/runs$");
    BOOST_TEST(!end("second"));
  }
  check({"first", "second"});
  BOOST_REQUIRE(end("third"));
  check({"first", "second", "third"});
}

BOOST_AUTO_TEST_SUITE_END()

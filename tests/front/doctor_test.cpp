// `remora doctor`, and what dropping gives up.
#include <boost/test/unit_test.hpp>

#include "world.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

/// The findings that are no notes: `kind subject`.
std::vector<std::string> findings(const answer& a) {
  std::vector<std::string> all;
  for (const json::object& o : a.objects()) {
    BOOST_TEST(std::string_view(o.at("schema").as_string()) == "remora.doctor/1");
    if (!o.at("note").as_bool())
      all.push_back(std::string(o.at("kind").as_string()) + ' ' +
                    std::string(o.at("subject").as_string()));
  }
  return all;
}

using lines = std::vector<std::string>;

BOOST_AUTO_TEST_SUITE(doctor)

BOOST_AUTO_TEST_CASE(nothing_is_wrong_with_a_run_that_has_failed) {
  const world w;
  BOOST_TEST(w.run().status == 1);
  const answer well = w({"doctor"});
  BOOST_TEST(well.status == 0);
  BOOST_TEST(holds(well.out, "nothing is wrong\n"), well.out);
}

BOOST_AUTO_TEST_CASE(what_can_be_mended_is_told_first_and_mended_once) {
  const world w;
  w.run();
  const std::string branch = "refs/heads/remora-wip/" + w.last() + "/bad";
  const std::string value = w.repo.git("rev-parse " + branch);
  test::write_bytes(w.repo.path() / ".git" / branch, "");
  const fs::path stale = w.repo.path() / ".git/remora/runs/20200102-030405-abcd";
  test::write_bytes(stale / "lock", "");
  const lines wrong{"ref-broken " + branch, "run-directory 20200102-030405-abcd"};

  const answer told = w({"doctor", "--json"});
  BOOST_TEST(told.status == 1);
  BOOST_TEST((findings(told) == wrong), told.out);
  for (const json::object& o : told.objects()) BOOST_TEST(o.at("fixed").is_null());
  BOOST_TEST(fs::exists(stale));

  const answer mended = w({"doctor", "--fix", "--json"});
  BOOST_TEST(mended.status == 0, mended.out + mended.err);
  BOOST_TEST((findings(mended) == wrong), mended.out);
  BOOST_TEST(w.repo.git("rev-parse " + branch) == value);
  BOOST_TEST(!fs::exists(stale));
  BOOST_TEST(findings(w({"doctor", "--fix", "--json"})).empty());
}

BOOST_AUTO_TEST_CASE(G14_objects_in_a_place_that_is_gone_are_for_a_person_to_bring_back) {
  const world w;
  test::write_bytes(w.repo.path() / ".git/objects/info/alternates", "/nowhere/objects\n");
  const answer told = w({"doctor", "--fix", "--json"});
  BOOST_TEST(told.status == 1);
  BOOST_TEST((findings(told) == lines{"alternates /nowhere/objects"}), told.out);
  BOOST_TEST(!told.objects().at(0).at("fixable").as_bool());
}

BOOST_AUTO_TEST_CASE(G17_what_is_kept_of_others_is_a_note) {
  const world w;
  w.repo.git("update-ref refs/remora/foreign/20200102-030405-abcd/a/0123456789ab HEAD");
  const answer told = w({"doctor", "--json"});
  BOOST_TEST(told.status == 0);
  BOOST_TEST(std::string_view(told.objects().at(0).at("kind").as_string()) == "foreign");
  BOOST_TEST(holds(w({"doctor"}).out, "note refs/remora/foreign/"));
}

BOOST_AUTO_TEST_CASE(G13_a_pack_that_was_set_aside_is_a_note_until_somebody_removes_it) {
  const world w;
  const std::string path =
      (w.repo.path() / ".git/remora/damaged/pack-72656d6f72610123456789abcdef0123456789ab")
          .string();
  test::write_bytes(path + ".pack", std::string(3000, 'x'));
  test::write_bytes(path + ".idx", std::string(1000, 'x'));
  const answer told = w({"doctor", "--fix", "--json"});
  BOOST_TEST(told.status == 0);
  const json::object note = told.objects().at(0);
  BOOST_TEST(std::string_view(note.at("kind").as_string()) == "damaged-pack");
  BOOST_TEST(holds(std::string_view(note.at("subject").as_string()), path + ".pack"));
  BOOST_TEST(holds(std::string_view(note.at("text").as_string()), "4 KiB"));
  BOOST_TEST(!note.at("fixable").as_bool());
  const std::string remedy(note.at("remedy").as_string());
  BOOST_REQUIRE(holds(remedy, "rm -f '"));
  BOOST_TEST(fs::exists(path + ".pack"));
  BOOST_TEST(test::shell(w.repo.path(), remedy.substr(remedy.find("rm -f"))).status == 0);
  BOOST_TEST(!fs::exists(path + ".pack"));
  BOOST_TEST(!fs::exists(path + ".idx"));
  BOOST_TEST(!holds(w({"doctor"}).out, "damaged"));
}

BOOST_AUTO_TEST_CASE(without_a_repository_doctor_says_so) {
  const test::temp_dir nowhere;
  const answer told = remora({"-C", nowhere.path().string(), "doctor"});
  BOOST_TEST(told.status == 4);
  BOOST_TEST(holds(told.err, "git init"));
}

BOOST_AUTO_TEST_CASE(G11_dropping_a_fetched_run_leaves_the_worktree_of_the_first_clone_alone) {
  const world w;
  w.run();
  const std::string id = w.last();
  const fs::path other = w.repo.beside("other");
  w.repo.git("clone -q . '" + other.string() + "'");
  w.repo.git_in(other, "fetch -q origin 'refs/remora/*:refs/remora/*'");
  const auto slot = fs::path(
      std::string(w({"show", id + "/bad", "--json"}).objects().at(0).at("slot").as_string()));
  BOOST_REQUIRE(fs::exists(slot));
  const answer dropped = remora({"-C", other.string(), "drop", id, "--force"});
  BOOST_TEST(dropped.status == 0, dropped.err);
  BOOST_TEST(fs::exists(slot / ".git"));
  BOOST_TEST(w({"drop", id, "--force"}).status == 0);
  BOOST_TEST(!fs::exists(slot));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front

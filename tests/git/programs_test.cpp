#include <remora/git/programs.hpp>

#include <boost/test/unit_test.hpp>
#include <remora/git/worktree.hpp>
#include <repo.hpp>

using namespace remora;
using namespace remora::git;
using remora::test::read_bytes;
using remora::test::test_repo;
namespace fs = std::filesystem;

namespace {

struct programs_fixture {
  test_repo files;
  fs::path root = files.path().parent_path() / (files.path().filename().string() + "-slot");
  oid head;

  programs_fixture() {
    files.write(".gitattributes", "*.txt filter=f\n");
    files.write("a.txt", "small\n");
    head = files.commit("one");
  }
  ~programs_fixture() { fs::remove_all(root); }

  std::string ran() const {
    const fs::path file = files.path() / "ran";
    return fs::exists(file) ? read_bytes(file) : "";
  }
  void configure(const std::string& key, const std::string& says) const {
    files.git("config " + key + " 'echo " + says + " >> " + (files.path() / "ran").string() +
              "; tr a-z A-Z'");
  }
  /// The file's bytes in a worktree that is made now.
  std::string checked_out(const repository& repo) const {
    BOOST_REQUIRE(add_worktree(repo, root, "refs/heads/remora/run/task", head, {}).has_value());
    const std::string bytes = read_bytes(root / "a.txt");
    BOOST_REQUIRE(remove_worktree(repo, root).has_value());
    files.git("branch -q -D remora/run/task");
    return bytes;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(programs, programs_fixture)

BOOST_AUTO_TEST_CASE(C1_a_filter_that_was_named_later_is_not_run) {
  repository repo = repository::discover(files.path()).value();
  repo.trust_only(configured_programs(repo).value());
  configure("filter.f.smudge", "planted");
  files.git("config filter.f.required true");
  BOOST_TEST(checked_out(repo) == "small\n");
  BOOST_TEST(ran() == "");
  configure("filter.f.process", "planted");
  BOOST_TEST(checked_out(repo) == "small\n");
  BOOST_TEST(ran() == "");
  repository trusting = repository::discover(files.path()).value();
  files.git("config --unset filter.f.process");
  BOOST_TEST(checked_out(trusting) == "SMALL\n");  // it would have been
  BOOST_TEST(ran() == "planted\n");
}

BOOST_AUTO_TEST_CASE(C1_a_filter_that_was_there_is_run_as_it_was) {
  configure("filter.f.smudge", "mine");
  repository repo = repository::discover(files.path()).value();
  repo.trust_only(configured_programs(repo).value());
  configure("filter.f.smudge", "planted");
  BOOST_TEST(checked_out(repo) == "SMALL\n");
  BOOST_TEST(ran() == "mine\n");
  files.git("config --unset filter.f.smudge");
  BOOST_TEST(checked_out(repo) == "SMALL\n");
  BOOST_TEST(ran() == "mine\nmine\n");
}

BOOST_AUTO_TEST_CASE(C1_names_that_look_like_something_else_hide_no_filter) {
  repository repo = repository::discover(files.path()).value();
  repo.trust_only({});
  files.write(".gitattributes", "*.txt filter=a=b.smudge\n");
  files.write("a.txt", "other\n");
  head = files.commit("two");
  configure("'filter.a=b.smudge.smudge'", "planted");
  const fs::path included = files.path() / ".git" / "included";
  files.git("config -f " + included.string() + " 'filter.f.smudge' 'touch " +
            (files.path() / "ran").string() + "; cat'");
  files.git("config include.path " + included.string());
  BOOST_TEST(configured_programs(repo).value().size() == 2u);
  BOOST_TEST(checked_out(repo) == "other\n");
  BOOST_TEST(ran() == "");
}

BOOST_AUTO_TEST_CASE(C1_another_program_to_fetch_with_is_refused_by_its_name) {
  repository repo = repository::discover(files.path()).value();
  repo.trust_only(configured_programs(repo).value());
  files.git("config remote.origin.uploadpack /tmp/mine");
  const auto made = add_worktree(repo, root, "refs/heads/remora/run/task", head, {});
  BOOST_REQUIRE(made.has_error());
  BOOST_TEST(made.error().what.starts_with("remote.origin.uploadpack of git's configuration"));
  BOOST_TEST(!fs::exists(root));
}

BOOST_AUTO_TEST_CASE(settings_come_back_from_their_text) {
  const program_settings some{{"filter.f.clean", "a\nb"}, {"filter.f.required", ""}};
  BOOST_TEST((program_settings_of(to_text(some)) == some));
  BOOST_TEST(program_settings_of("").empty());
}

BOOST_AUTO_TEST_SUITE_END()

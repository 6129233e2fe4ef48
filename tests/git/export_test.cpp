// The files of a snapshot in a directory that is no worktree.
#include <remora/git/restore.hpp>

#include "slot.hpp"

using namespace remora;
using namespace remora::test;

BOOST_AUTO_TEST_SUITE(exported)

BOOST_AUTO_TEST_CASE(an_export_needs_an_empty_directory) {
  slot s;
  s.write("x/y", "z");
  const auto taken = s.take();
  const auto to = s.repo.beside("out");
  const auto report = must(git::export_files(*s.opened, taken, to, {}));
  BOOST_TEST(report.files_written == 2u);
  BOOST_TEST(read_bytes(to / "x/y") == "z");
  const auto again = git::export_files(*s.opened, taken, to, {});
  BOOST_REQUIRE(again.has_error());
  BOOST_TEST(again.error().is(errc::usage));
}

BOOST_AUTO_TEST_CASE(W14_attributes_are_those_of_the_head_and_not_of_the_users_checkout) {
  slot s([](const test_repo& r) {
    r.write(".gitattributes", "*.txt text eol=crlf\n");
    r.write("a.txt", "a\nb\n");
    r.write("bell.txt", "echo \a\n");  // binary, as libgit2 sees it
  });
  shell(s.root, "touch -d '1000 seconds' '" + (s.tree.git_dir / "index").string() + "'");
  auto taken = s.take();
  BOOST_REQUIRE(taken.manifest.converted.size() == 2u);
  int exports = 0;
  const auto check = [&](const char* what) {
    const auto to = s.repo.beside("export") / std::to_string(++exports);
    must(git::export_files(*s.opened, taken, to, {}));
    BOOST_TEST(read_bytes(to / "a.txt") == "a\r\nb\r\n", what);
    BOOST_TEST(read_bytes(to / "bell.txt") == "echo \a\r\n", what);
  };
  s.repo.write(".gitattributes", "*.txt text eol=lf\n");
  check("others in the checkout");
  s.repo.git("rm -qf .gitattributes");
  check("none in the checkout");
  taken.head.commit = git::oid();
  check("no head: the snapshot's own");
}

BOOST_AUTO_TEST_CASE(F4_damaged_attributes_do_not_keep_the_files) {
  slot s([](const test_repo& r) {
    r.write(".gitattributes", "*.txt text eol=crlf\n");
    r.write("a.txt", "a\nb\n");
  });
  auto taken = s.take();
  taken.manifest.converted = {"a.txt"};
  const std::string id = s.repo.git("rev-parse HEAD:.gitattributes");
  const auto object = s.repo.path() / ".git/objects" / id.substr(0, 2) / id.substr(2);
  std::filesystem::remove(object);  // it is read-only
  write_bytes(object, "damaged");
  const auto to = s.repo.beside("export");
  const auto report = must(git::export_files(*s.opened, taken, to, {}));
  BOOST_TEST(std::filesystem::exists(to / "a.txt"));
  BOOST_REQUIRE(report.not_restored.size() == 1u);
  BOOST_TEST(report.not_restored.front().path == ".gitattributes");
}

BOOST_AUTO_TEST_SUITE_END()

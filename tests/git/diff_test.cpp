#include <remora/git/diff.hpp>

#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <repo.hpp>

using namespace remora;
using namespace remora::git;
using remora::test::test_repo;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

struct diff_fixture {
  test_repo files;
  repository repo = repository::discover(files.path()).value();
  oid tree(const char* message) {
    files.commit(message);
    return files.id("HEAD^{tree}");
  }
  std::string patch(const oid& from, const oid& to) {
    return diff_patch(repo, from, to, 1 << 20).value().text;
  }
};

std::string lines(int from, int to) {
  std::string text;
  for (int i = from; i <= to; ++i) text += std::to_string(i) + "\n";
  return text;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(diffs, diff_fixture)

BOOST_AUTO_TEST_CASE(files_are_listed_in_path_order_with_status_and_lines) {
  files.write("a", lines(1, 9));
  files.write("dir/gone", "1\n2\n");
  files.write("kind", "text\n");
  files.write("mode", "m\n");
  files.write("same/deep/x", "x");
  const oid before = tree("one");
  files.write("a", lines(2, 9) + "new\n");
  fs::remove(files.path() / "dir/gone");
  fs::remove(files.path() / "kind");
  fs::create_symlink("a", files.path() / "kind");
  ::chmod((files.path() / "mode").c_str(), 0755);
  files.write("z", std::string("\0\n", 2));
  const oid after = tree("two");
  const auto summary = diff_trees(repo, before, after).value();
  std::string shown;
  for (const changed_file& f : summary.files)
    shown += f.status + (" " + f.path) + " +" + std::to_string(f.insertions) + " -" +
             std::to_string(f.deletions) + (f.binary ? " binary\n" : "\n");
  BOOST_TEST(shown ==
             "M a +1 -1\nD dir/gone +0 -2\nT kind +1 -1\nM mode +0 -0\nA z +0 -0 binary\n");
  BOOST_TEST(summary.added == 1u);
  BOOST_TEST(summary.modified == 3u);
  BOOST_TEST(summary.deleted == 1u);
  BOOST_TEST(summary.insertions == 2u);
  BOOST_TEST(summary.deletions == 4u);
  BOOST_TEST(diff_trees(repo, before, after, false).value().insertions == 0u);
}

BOOST_AUTO_TEST_CASE(a_zero_side_is_the_empty_tree) {
  files.write("a/b", "1\n");
  const oid one = tree("one");
  BOOST_TEST(diff_trees(repo, oid(), one).value().added == 1u);
  BOOST_TEST(diff_trees(repo, one, oid()).value().deleted == 1u);
  BOOST_TEST(diff_trees(repo, one, one).value().files.empty());
  BOOST_TEST(diff_trees(repo, oid(), oid()).value().files.empty());
}

BOOST_AUTO_TEST_CASE(a_file_that_becomes_a_directory_is_deleted_and_its_files_added) {
  files.write("x", "1\n");
  files.write("x.y", "1\n");
  const oid before = tree("one");
  fs::remove(files.path() / "x");
  files.write("x/in", "1\n");
  const oid after = tree("two");
  const auto summary = diff_trees(repo, before, after).value();
  BOOST_REQUIRE(summary.files.size() == 2u);
  BOOST_TEST(summary.files[0].path == "x");
  BOOST_TEST(summary.files[0].status == 'D');
  BOOST_TEST(summary.files[1].path == "x/in");
  BOOST_TEST(summary.files[1].status == 'A');
}

BOOST_AUTO_TEST_CASE(git_applies_the_patch) {
  files.write("a b", lines(1, 30));
  files.write("gone", "1");
  files.write("quo\"te\t", "1\n");
  files.write("run", "x\n");
  const oid before = tree("one");
  files.write("a b", lines(1, 10) + "x\n" + lines(12, 28) + "29");
  fs::remove(files.path() / "gone");
  files.write("quo\"te\t", "2\n");
  files.write("new/empty", "");
  files.write("new/file", "no newline");
  ::chmod((files.path() / "run").c_str(), 0755);
  const oid after = tree("two");
  write_bytes(files.beside("patch"), patch(before, after));
  files.git("read-tree --reset -u " + before.hex());
  files.git("apply --index ../patch");
  BOOST_TEST(files.git("write-tree") == after.hex());
}

BOOST_AUTO_TEST_CASE(W14_line_ends_alone_are_no_difference_in_text) {
  files.write("dos", "a\r\nb\r\nc\r\n");
  files.write("both", "a\r\nb\r\n");
  const oid before = tree("one");
  files.write("dos", "a\nb\nc\n");
  files.write("both", "a\nB\n");
  const oid after = tree("two");
  BOOST_TEST(patch(before, after) ==
             "diff --git a/both b/both\n--- a/both\n+++ b/both\n@@ -1,2 +1,2 @@\n a\n-b\n+B\n");
  BOOST_TEST(diff_trees(repo, before, after).value().insertions == 1u);
}

BOOST_AUTO_TEST_CASE(binary_files_are_named_not_shown) {
  files.write("b", std::string("\0one", 4));
  const oid before = tree("one");
  files.write("b", std::string("\0two", 4));
  const oid after = tree("two");
  BOOST_TEST(patch(before, after) == "diff --git a/b b/b\nBinary files a/b and b/b differ\n");
}

BOOST_AUTO_TEST_CASE(a_patch_over_the_limit_is_cut_after_a_whole_line_and_says_so) {
  files.write("a", "1\n");
  files.write("b", "1\n");
  const oid before = tree("one");
  files.write("a", "one\ntwo\nthree");
  files.write("b", "2\n");
  const oid after = tree("two");
  const std::string whole = patch(before, after);
  for (std::size_t limit = 0; limit <= whole.size(); ++limit) {
    const diff_text cut = diff_patch(repo, before, after, limit).value();
    BOOST_TEST(cut.text.size() <= limit);
    BOOST_TEST(whole.starts_with(cut.text));
    BOOST_TEST((cut.text.empty() || cut.text.back() == '\n'));
    BOOST_TEST(cut.truncated == (limit < whole.size()));
  }
}

BOOST_AUTO_TEST_CASE(G22_what_was_never_fetched_is_named_without_lines) {
  files.write("a", "1\n");
  const oid before = tree("one");
  const std::string made = files.git(
      "mktree --missing <<'E'\n100644 blob 1234567812345678123456781234567812345678\tabsent\nE");
  const oid after = oid::parse(made).value();
  const auto summary = diff_trees(repo, before, after).value();
  BOOST_REQUIRE(summary.files.size() == 2u);
  BOOST_TEST(summary.files[1].path == "absent");
  BOOST_TEST(summary.files[1].binary);
}

BOOST_AUTO_TEST_CASE(W9_odd_names_keep_their_bytes_in_the_summary_and_are_quoted_in_the_text) {
  const oid before = tree("one");
  files.write("new\nline", "1\n");
  files.write("\xff\xfe", "1\n");
  files.write("\xc3\xbc", "1\n");
  const oid after = tree("two");
  const auto summary = diff_trees(repo, before, after).value();
  BOOST_REQUIRE(summary.files.size() == 3u);
  BOOST_TEST(summary.files[0].path == "new\nline");
  BOOST_TEST(summary.files[2].path == "\xff\xfe");
  const std::string text = patch(before, after);
  BOOST_TEST(text.find("+++ \"b/new\\012line\"\n") != std::string::npos);
  BOOST_TEST(text.find("+++ b/\xc3\xbc\n") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

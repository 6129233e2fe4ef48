// Ignore rules, held against `git check-ignore`.
#include "../../src/git/ignore.hpp"

#include <boost/test/unit_test.hpp>
#include <random>
#include <remora/core/text.hpp>
#include <repo.hpp>
#include <set>

#include "../../src/git/wildmatch.hpp"
#include "slot.hpp"

using namespace remora;
using namespace remora::test;

BOOST_AUTO_TEST_SUITE(ignore)

BOOST_AUTO_TEST_CASE(wildcards_stay_within_a_component) {
  BOOST_TEST(git::wildmatch("a*c", "abbc"));
  BOOST_TEST(!git::wildmatch("a*c", "ab/c"));
  BOOST_TEST(!git::wildmatch("a?c", "a/c"));
  BOOST_TEST(!git::wildmatch("a[/]c", "a/c"));
  BOOST_TEST(git::wildmatch("**/x", "x"));
  BOOST_TEST(git::wildmatch("**/x", "a/b/x"));
  BOOST_TEST(!git::wildmatch("**/x", "a/bx"));
  BOOST_TEST(git::wildmatch("a/**", "a/b/c"));
  BOOST_TEST(!git::wildmatch("a/**", "a"));
  BOOST_TEST(git::wildmatch("a/**/b", "a/b"));
  BOOST_TEST(git::wildmatch("a/**/*.c", "a/x/y/z.c"));
  BOOST_TEST(git::wildmatch("[[:alpha:]-]*", "-x"));
  BOOST_TEST(git::wildmatch("[]!]", "]"));
  BOOST_TEST(git::wildmatch("[!]]", "x"));
  BOOST_TEST(!git::wildmatch("[a", "a"));
  BOOST_TEST(git::wildmatch("\\*", "*"));
}

BOOST_AUTO_TEST_CASE(C5_a_hostile_pattern_takes_polynomial_time) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  BOOST_TEST(!git::wildmatch(pattern + "b", std::string(4000, 'a')));
  pattern.clear();
  for (int i = 0; i < 200; ++i) pattern += "**/a/";
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "a/";
  BOOST_TEST(!git::wildmatch(pattern + "b", text + "a"));
}

BOOST_AUTO_TEST_CASE(lines_are_read_as_git_reads_them) {
  using verdict = git::ignore_list::verdict;
  const git::ignore_list list(
      "\xEF\xBB\xBF# no\n\\#yes\ntrail  \nkept\\ \ncr\r\n!neg\n/top\ndir/\n");
  const auto ask = [&](std::string_view path, bool dir = false) { return list.match(path, dir); };
  BOOST_TEST((ask("# no") == verdict::none));
  BOOST_TEST((ask("#yes") == verdict::ignored));
  BOOST_TEST((ask("trail") == verdict::ignored));
  BOOST_TEST((ask("kept ") == verdict::ignored));
  BOOST_TEST((ask("cr") == verdict::ignored));
  BOOST_TEST((ask("x/neg") == verdict::kept));
  BOOST_TEST((ask("top") == verdict::ignored));
  BOOST_TEST((ask("x/top") == verdict::none));
  BOOST_TEST((ask("x/dir") == verdict::none));
  BOOST_TEST((ask("x/dir", true) == verdict::ignored));
}

namespace {

template <class Random>
std::string some_pattern(Random& random) {
  static const char* const parts[] = {
      "a",  "b",     "c",   "*",   "?",  "**",          "/", "/",  "[ab]", "[!a]", "\\a",
      "a*", "[a-c]", "**/", "/**", "ab", "[[:alpha:]]", ".", "*/", "\\*",  "[]a]", "[^b]"};
  std::string pattern;
  const int count = 1 + static_cast<int>(random() % 5);
  if (random() % 4 == 0) pattern += '!';
  if (random() % 6 == 0) pattern += '/';
  for (int i = 0; i < count; ++i) pattern += parts[random() % std::size(parts)];
  if (random() % 5 == 0) pattern += '/';
  return pattern;
}

}  // namespace

BOOST_AUTO_TEST_CASE(W17_what_is_captured_is_what_git_check_ignore_lets_through) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  slot s([](const test_repo& r) { r.write("README", "r"); });
  std::vector<std::string> files;
  for (const std::string a : {"a", "b", "ab", "a.b"})
    for (const std::string b : {"", "ba/", "bb/", "cc/ba/", "aa/bb/"})
      for (const std::string c : {"a", "b", "c", "ab", "bc", "*"})
        files.push_back(a + "x/" + b + c);
  for (const std::string& f : files) s.write(f, f);
  for (int round = 0; round < 12; ++round) {
    for (const std::string where : {"", "ax/", "bx/ba/", "abx/cc/"}) {
      std::string text;
      const int lines = 1 + static_cast<int>(random() % 4);
      for (int i = 0; i < lines; ++i) text += some_pattern(random) + '\n';
      s.write(where + ".gitignore", text);
    }
    write_bytes(s.repo.path() / ".git/info/exclude", some_pattern(random) + '\n');
    std::string expected = s.git("ls-files -z --others --exclude-standard");
    names wanted{"README"};
    for (const std::string_view name : split(expected, '\0'))
      if (!name.empty()) wanted.insert(std::string(name));
    const names found = s.paths(s.take());
    BOOST_TEST(found == wanted, boost::test_tools::per_element());
    if (found == wanted) continue;
    for (const std::string where : {"", "ax/", "bx/ba/", "abx/cc/"})
      BOOST_TEST_MESSAGE(where << ".gitignore:\n" << read_bytes(s.root / (where + ".gitignore")));
    BOOST_TEST_MESSAGE("exclude: " << read_bytes(s.repo.path() / ".git/info/exclude"));
    BOOST_ERROR("seed " << seed);
    break;
  }
}

BOOST_AUTO_TEST_CASE(W17_the_users_excludes_file_counts) {
  slot s;
  const auto file = s.repo.beside("excludes");
  write_bytes(file, "*.tmp\n");
  s.repo.git("config core.excludesFile '" + file.string() + "'");
  s.write("x.tmp", "x");
  s.write("y", "y");
  BOOST_TEST(s.paths(s.take()) == (names{"a.txt", "y"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

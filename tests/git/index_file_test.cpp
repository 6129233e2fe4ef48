#include "git/index_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <repo.hpp>

#include "git/handles.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::read_bytes;
using remora::test::test_repo;
using remora::test::write_bytes;

namespace {

/// Plain files, directories whose names sort between, and one path below two others.
void fill(const test_repo& repo) {
  for (const char* path : {"a-b/x", "a.c", "a/b/c", "a/b/d", "a/e", "deep/er/and/deeper/file", "z"})
    repo.write(path, path);
  repo.write("run", "x");
  std::filesystem::permissions(repo.path() / "run", std::filesystem::perms(0755));
  std::filesystem::create_symlink("a.c", repo.path() / "link");
  repo.commit("files");
}

std::string bytes_of(const test_repo& repo) {
  return read_bytes(repo.path() / ".git/index");
}

index_file parsed(const test_repo& repo) {
  auto file = index_file::parse(bytes_of(repo));
  if (!file) throw std::runtime_error(file.error().what);
  return std::move(*file);
}

/// As `git ls-files --stage` says it.
std::string listed(const index_file& file) {
  std::string text;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const index_file::entry e = file.at(i);
    text += fmt::format("{:06o} {} {}\t{}\n", static_cast<unsigned>(e.mode), e.id.hex(), e.stage,
                        e.path);
  }
  if (!text.empty()) text.pop_back();
  return text;
}

void conflict(const test_repo& repo) {
  repo.git("checkout -q -b other");
  repo.write("a/e", "theirs");
  repo.commit("theirs");
  repo.git("checkout -q -");
  repo.write("a/e", "ours");
  repo.commit("ours");
  BOOST_CHECK_THROW(repo.git("merge -q other"), std::exception);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(index_file_)

BOOST_DATA_TEST_CASE(every_version_says_what_git_says, boost::unit_test::data::xrange(2, 5),
                     version) {
  const test_repo repo;
  fill(repo);
  if (version > 2) {  // an extended flag makes version 3 of 2
    repo.write("later", "l");
    repo.git("add -N later");
    repo.git("update-index --skip-worktree a/b/d");
  }
  repo.git("update-index --assume-unchanged z");
  repo.git("update-index --index-version " + std::to_string(version));
  const std::string bytes = bytes_of(repo);
  BOOST_TEST(static_cast<int>(bytes[7]) == version);
  const index_file file = parsed(repo);
  BOOST_TEST(listed(file) == repo.git("ls-files --stage"));
  BOOST_TEST(file.is_intact());
  BOOST_TEST(file.find("z")->assume_unchanged);
  BOOST_TEST(!file.find("a.c")->is_flagged());
  if (version == 2) return;
  BOOST_TEST(file.find("later")->intent_to_add);
  BOOST_TEST(file.find("a/b/d")->skip_worktree);
  BOOST_TEST(file.flagged().size() == 3u);
}

BOOST_AUTO_TEST_CASE(stats_are_those_of_the_files) {
  const test_repo repo;
  fill(repo);
  struct stat st{};
  BOOST_REQUIRE(::stat((repo.path() / "a/b/c").c_str(), &st) == 0);
  const auto e = parsed(repo).find("a/b/c");
  BOOST_REQUIRE(e);
  BOOST_TEST(e->stamp.inode == static_cast<std::uint32_t>(st.st_ino));
  BOOST_TEST(e->stamp.size == 5);
  BOOST_TEST(e->stamp.modified_ns == nanoseconds(st.st_mtim));
  BOOST_TEST(e->stamp.changed_ns == nanoseconds(st.st_ctim));
}

BOOST_AUTO_TEST_CASE(its_trees_are_those_that_git_writes) {
  const test_repo repo;
  fill(repo);
  const index_file file = parsed(repo);
  for (const std::string path : {"", "a/", "a/b/", "a-b/", "deep/", "deep/er/and/deeper/"}) {
    const index_file::directory* found = file.below(path);
    BOOST_REQUIRE(found);
    BOOST_TEST(found->tree.hex() == repo.id("HEAD:" + path).hex(), path);
  }
  BOOST_TEST(file.below("a/b/")->end - file.below("a/b/")->begin == 2u);
  BOOST_TEST(!file.below("b/"));
}

BOOST_AUTO_TEST_CASE(a_conflict_is_in_no_tree) {
  const test_repo repo;
  fill(repo);
  conflict(repo);
  const index_file file = parsed(repo);
  BOOST_TEST(listed(file) == repo.git("ls-files --stage"));
  BOOST_TEST(file.flagged().size() == 3u);
  BOOST_TEST(!file.find("a/e"));
  BOOST_TEST(file.below("a/")->tree.is_zero());
  BOOST_TEST(file.below("")->tree.is_zero());
  BOOST_TEST(file.below("a/b/")->tree.hex() == repo.id("HEAD:a/b").hex());
}

BOOST_AUTO_TEST_CASE(an_empty_one_is_the_empty_tree) {
  const test_repo repo;
  repo.git("read-tree --empty");
  BOOST_TEST(parsed(repo).size() == 0u);
  BOOST_TEST(parsed(repo).below("")->tree.hex() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
  BOOST_TEST(index_file().is_intact());
}

BOOST_AUTO_TEST_CASE(one_without_a_checksum_is_intact) {
  const test_repo repo;
  fill(repo);
  std::string bytes = bytes_of(repo);
  bytes.replace(bytes.size() - 20, 20, 20, '\0');
  BOOST_TEST(index_file::parse(bytes)->is_intact());
}

BOOST_AUTO_TEST_CASE(G20_a_split_one_is_told_from_a_damaged_one) {
  const test_repo repo;
  fill(repo);
  repo.git("update-index --split-index");
  const auto file = index_file::parse(bytes_of(repo));
  BOOST_REQUIRE(!file);
  BOOST_TEST(file.error().is(errc::unsupported));
  BOOST_TEST(file.error().what.ends_with("(it is split)"), file.error().what);
}

/// With every byte flipped, and cut anywhere: an error, or a wrong checksum, or what is flipped is
/// the checksum.
BOOST_DATA_TEST_CASE(G20_damage_is_never_missed, boost::unit_test::data::xrange(2, 5), version) {
  const test_repo repo;
  fill(repo);
  if (version > 2) repo.git("update-index --skip-worktree a/b/d");
  repo.git("update-index --index-version " + std::to_string(version));
  const std::string bytes = bytes_of(repo);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ 1 << bit);
      const auto file = index_file::parse(flipped);
      BOOST_TEST((!file || !file->is_intact()), i);
      if (file) file->below("");
    }
    const auto cut = index_file::parse(bytes.substr(0, i));
    BOOST_TEST((!cut || !cut->is_intact()), i);
  }
}

BOOST_AUTO_TEST_CASE(G20_paths_that_grow_without_end_are_refused) {
  // Version 4: each entry keeps all of the path before, and adds a kilobyte.
  std::string bytes("DIRC\0\0\0\4\0\0\x80\0", 12);
  const std::string entry = std::string(62, '\0') + '\0' + std::string(1 << 10, 'x') + '\0';
  for (int i = 0; i < 0x8000; ++i) bytes += entry;
  bytes += std::string(20, '\0');
  const auto file = index_file::parse(bytes);
  BOOST_REQUIRE(!file);
  BOOST_TEST(file.error().is(errc::corrupt));
}

BOOST_AUTO_TEST_CASE(G20_a_path_of_a_million_directories_is_no_tree) {
  std::string path;
  for (int i = 0; i < 1'000'000; ++i) path += "a/";
  std::string bytes("DIRC\0\0\0\2\0\0\0\1", 12);
  bytes += std::string(62, '\0') + path + 'x';
  bytes += std::string(8 - (bytes.size() - 12) % 8, '\0') + std::string(20, '\0');
  const auto file = index_file::parse(bytes);
  BOOST_REQUIRE(file);
  BOOST_TEST(file->below("")->tree.is_zero());
}

BOOST_AUTO_TEST_CASE(what_is_written_is_what_git_reads) {
  const test_repo repo;
  fill(repo);
  conflict(repo);
  std::string deep;  // git keeps no more than 12 bits of a path's length
  for (int i = 0; i < 21; ++i) deep += std::string(200, 'd') + '/';
  repo.git("update-index --add --cacheinfo 100644," + repo.id("HEAD:z").hex() + ',' + deep + 'x');
  repo.write("later", "l");
  repo.git("add -N later");
  repo.git("update-index --skip-worktree a/b/d");
  repo.git("update-index --assume-unchanged z");
  const std::string before = repo.git("ls-files --stage --debug");
  const std::string flags = repo.git("ls-files -t -v");
  const index_file old = parsed(repo);
  new_index made;
  for (std::size_t i = 0; i < old.size(); ++i) {
    const index_file::entry e = old.at(i);
    made.add({.path = std::string(e.path),
              .stage = e.stage,
              .mode = e.mode,
              .id = e.id,
              .intent_to_add = e.intent_to_add,
              .skip_worktree = e.skip_worktree,
              .assume_unchanged = e.assume_unchanged},
             old.stat_at(i));
  }
  const std::string bytes = std::move(made).finish();
  BOOST_TEST(static_cast<int>(bytes[7]) == 3);
  BOOST_TEST(index_file::parse(bytes)->is_intact());
  write_bytes(repo.path() / ".git/index", bytes);
  BOOST_TEST(repo.git("ls-files --stage --debug") == before);
  BOOST_TEST(repo.git("ls-files -t -v") == flags);
}

BOOST_AUTO_TEST_CASE(a_recorded_stat_is_gits) {
  const test_repo repo;
  fill(repo);
  const index_file file = parsed(repo);
  for (const std::string path : {"a/b/c", "run", "link"}) {
    struct stat st{};
    BOOST_REQUIRE(::lstat((repo.path() / path).c_str(), &st) == 0);
    const std::size_t i = file.lower_bound(path);
    BOOST_TEST((recorded_stat(st, file.mode_at(i)) == file.stat_at(i)), path);
  }
}

BOOST_AUTO_TEST_SUITE_END()

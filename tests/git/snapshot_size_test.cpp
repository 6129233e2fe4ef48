// How much one snapshot takes (W13): what does not fit is left out, listed, and taken by the next.
#include <remora/git/left_out.hpp>
#include <remora/git/restore.hpp>

#include "slot.hpp"

using namespace remora;
using namespace remora::test;

namespace {

git::snapshot_rules at_most(std::uint64_t bytes) {
  git::snapshot_rules rules;
  rules.max_bytes = bytes;
  return rules;
}

std::string bytes(char each, std::size_t size) {
  return std::string(size, each);
}

std::size_t beyond(const git::snapshot& s) {
  return static_cast<std::size_t>(
      std::ranges::count(s.manifest.left_out, git::beyond_snapshot, &git::omission::reason));
}

constexpr std::uint64_t trees = 2000;  ///< more than those of a snapshot here have

}  // namespace

BOOST_AUTO_TEST_SUITE(snapshot_size)

BOOST_AUTO_TEST_CASE(W13_what_does_not_fit_is_taken_by_the_next_snapshots) {
  slot s;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) s.write({name}, bytes(name, 40'000));
  s.write("small", "s");
  auto shots = s.open(at_most(100'000));
  std::uint64_t written = s.objects->bytes_written();
  auto taken = s.take(shots);
  BOOST_TEST(s.objects->bytes_written() - written <= 100'000 + trees);
  BOOST_TEST(s.content(taken, "small") == "s");  // though it comes last
  BOOST_TEST(beyond(taken) == 3u);
  BOOST_TEST(reason(taken, "e") == "checkpoint too large");

  written = s.objects->bytes_written();
  taken = s.take(shots);
  BOOST_TEST(s.objects->bytes_written() - written <= 100'000 + trees);
  BOOST_TEST(beyond(taken) == 1u);
  taken = s.take(shots);
  BOOST_TEST(beyond(taken) == 0u);
  for (const char name : {'a', 'b', 'c', 'd', 'e'})
    BOOST_TEST(s.content(taken, {name}) == bytes(name, 40'000));
}

BOOST_AUTO_TEST_CASE(W13_many_small_files_are_not_left_out_for_a_large_one) {
  slot s;
  s.write("a-large-one", bytes('a', 90'000));
  std::filesystem::create_directory(s.root / "small");
  for (int i = 0; i < 50; ++i)
    s.write("small/" + std::to_string(i), std::to_string(i) + bytes('s', 1000));
  const auto taken = s.take(at_most(100'000));
  BOOST_TEST(beyond(taken) == 1u);
  BOOST_TEST(reason(taken, "a-large-one") == "checkpoint too large");
}

BOOST_AUTO_TEST_CASE(W13_a_changed_file_that_does_not_fit_stays_as_it_was_and_is_not_replaced) {
  slot s;
  s.write("a.txt", bytes('x', 20'000));
  s.write("new", bytes('n', 20'000));
  const auto taken = s.take(at_most(10'000));
  BOOST_TEST(s.content(taken, "a.txt") == "one\n");
  BOOST_TEST(beyond(taken) == 2u);
  must(git::restore_worktree(*s.opened, s.tree, "remora/run/task", taken, {}));
  BOOST_TEST(read_bytes(s.root / "a.txt") == bytes('x', 20'000));
  BOOST_TEST(read_bytes(s.root / "new") == bytes('n', 20'000));
}

BOOST_AUTO_TEST_CASE(W13_the_git_directory_of_a_nested_repository_counts_as_a_whole) {
  slot s;
  s.git("init -q nested");
  s.write("nested/file", "f");
  s.write("nested/.git/objects/pack/pack-1.pack", bytes('p', 400'000));
  auto taken = s.take(at_most(300'000));
  BOOST_TEST(s.content(taken, "nested/file") == "f");
  BOOST_TEST(taken.manifest.nested.empty());
  BOOST_TEST(reason(taken, "nested/.git") == "checkpoint too large");
  BOOST_TEST(s.objects->bytes_written() < 10'000u);  // nothing was read for nothing
  must(git::restore_worktree(*s.opened, s.tree, "remora/run/task", taken, {}));
  BOOST_TEST(std::filesystem::exists(s.root / "nested/.git/HEAD"));
  taken = s.take(at_most(1'000'000));
  BOOST_TEST(taken.manifest.nested.size() == 1u);
  BOOST_TEST(taken.manifest.left_out.empty());
}

BOOST_AUTO_TEST_CASE(what_is_in_no_checkpoint_is_nowhere_else) {
  for (const char* reason : {"unreadable", "too large", "checkpoint too large",
                             "nested repository: a file of its git directory is too large"})
    BOOST_TEST(git::is_nowhere_else(reason), reason);
  for (const char* reason : {"fifo", "changed while read", "secret name", "submodule content"})
    BOOST_TEST(!git::is_nowhere_else(reason), reason);
}

BOOST_AUTO_TEST_SUITE_END()

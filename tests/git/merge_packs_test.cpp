// Versions of one object in the packs that were merged.
#include <fcntl.h>

#include <boost/test/unit_test.hpp>
#include <map>
#include <remora/git/object_writer.hpp>
#include <remora/git/packs.hpp>
#include <repo.hpp>

#include "flip_bit.hpp"
#include "git/merge_packs.hpp"
#include "noise.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::flip_bit;
using remora::test::noise;
using remora::test::read_bytes;
using remora::test::test_repo;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

constexpr int merged_at_once = 20;
constexpr int longest_chain = 15;
const std::string twin = "pack-72656d6f7261" + std::string(28, 'f');

struct versions_fixture {
  test_repo files;
  std::optional<repository> opened;
  std::optional<object_writer> objects;
  fs::path packs = files.path() / ".git/objects/pack";
  std::vector<oid> blobs, trees, commits;

  versions_fixture() {
    files.write("f", "x");
    files.commit("one");
    opened.emplace(repository::discover(files.path()).value());
    objects.emplace(*opened);
  }
  repository& repo() { return *opened; }

  /// In a pack of its own: a file that none has, and a directory of 40, one of which is `text`.
  void checkpoint(const std::string& text) {
    blobs.push_back(objects->blob(text).value());
    std::vector<tree_entry> entries{{"a", blobs.back(), mode::file}};
    for (std::uint32_t i = 10; i < 50; ++i)
      entries.push_back({"b" + std::to_string(i), objects->blob(noise(20, i)).value(), mode::file});
    const oid below = objects->tree(entries).value();
    const auto number = static_cast<std::uint32_t>(blobs.size());
    const oid own = objects->blob(noise(6000, 1000 + number)).value();
    const tree_entry of_its_own{"own" + std::to_string(number), own, mode::file};
    trees.push_back(objects->tree({{"d", below, mode::directory}, of_its_own}).value());
    std::vector<oid> parents;
    if (!commits.empty()) parents.push_back(commits.back());
    const auto made =
        objects->commit(trees.back(), parents, remora_signature(1), std::to_string(number));
    commits.push_back(made.value());
    BOOST_REQUIRE(objects->barrier().has_value());
    write_bytes(files.path() / ".git/refs/remora/wip/run/task", commits.back().hex() + "\n");
  }
  static std::string version(int n) {
    std::string text = noise(4000, 99);
    return text.replace(static_cast<std::size_t>(n) * 37 % 3900, 4, noise(4, std::uint32_t(n)));
  }
  void checkpoints(int from, int to) {
    for (int i = from; i < to; ++i) checkpoint(version(i));
  }
  std::string pack() const {
    const auto ours = list_our_packs(packs);
    BOOST_REQUIRE(ours.size() == 1u);
    return pack_path(packs, ours.front().stem, ".pack");
  }
  /// By id, what git says of a pack's objects: how many others each needs.
  std::map<std::string, int> depths(const std::string& stem) const {
    std::map<std::string, int> found;
    const fs::path path = pack_path(packs, stem, ".pack");
    std::istringstream lines(files.git("verify-pack -v '" + path.string() + "'"));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string id, type, base;
      std::uint64_t size, packed, offset;
      int depth = 0;
      if (words >> id >> type >> size >> packed >> offset && id.size() == 40)
        found[id] = words >> depth >> base ? depth : 0;
    }
    return found;
  }
  std::map<std::string, int> depths() const { return depths(fs::path(pack()).stem()); }
  /// Of a pack and of its twin, which is sound: those of which all was copied.
  std::vector<std::string> merge_with_a_damaged_twin(std::size_t size) {
    checkpoint(noise(size, 5));
    const std::string damaged = list_our_packs(packs).front().stem;
    for (const char* ending : {".keep", ".pack", ".idx"})
      fs::copy_file(pack_path(packs, damaged, ending), pack_path(packs, twin, ending));
    flip_bit(pack_path(packs, damaged, ".pack"), size / 2);
    pack_merger merger = pack_merger::begin(repo()).value();
    for (const std::string& stem : {damaged, twin})
      BOOST_REQUIRE(merger.add(packs, stem, list_entries(packs, stem).value()).has_value());
    BOOST_REQUIRE(merger.run({}).has_value());
    BOOST_REQUIRE(merger.into().publish().has_value());
    for (const std::string& stem : {damaged, twin}) remove_pack(packs, stem);
    all_is_there();
    return merger.merged();
  }
  void all_is_there() {
    files.git("fsck --strict --full");
    repository fresh = repo().reopen().value();
    for (std::size_t i = 0; i < commits.size(); ++i) {
      BOOST_TEST((fresh.read_commit(commits[i]).value().tree == trees[i]));
      BOOST_TEST(fresh.read_blob(blobs[i]).has_value());
    }
  }
  std::uint64_t offset_of(const oid& id) const {
    const std::string stem = fs::path(pack()).stem();
    for (const packed_object& o : read_pack_index(pack_path(packs, stem, ".idx")).value().objects)
      if (o.id == id) return o.offset;
    return 0;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(merging_packs, versions_fixture)

BOOST_AUTO_TEST_CASE(older_versions_are_stored_as_what_differs_from_the_next) {
  checkpoints(0, merged_at_once);
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  const auto found = depths();
  int differences = 0, deepest = 0;
  for (const auto& [id, depth] : found) {
    differences += depth > 0;
    deepest = std::max(deepest, depth);
  }
  // Twenty versions of a file and of its directory: the last; of the others one in sixteen is
  // whole.
  BOOST_TEST(differences == 2 * 17);
  BOOST_TEST(deepest == longest_chain);
  BOOST_TEST(found.at(blobs.back().hex()) == 0);  // the newest
  BOOST_TEST(found.at(blobs.front().hex()) == 2);
  BOOST_TEST(fs::file_size(pack()) < 150'000u);
  all_is_there();
}

BOOST_AUTO_TEST_CASE(chains_stay_short_however_often_packs_are_merged) {
  for (int i = 0; i < 60; ++i) {
    checkpoints(i, i + 1);
    BOOST_REQUIRE(consolidate_packs(repo()).has_value());
  }
  int deepest = 0, differences = 0;
  for (const our_files& p : list_our_packs(packs))
    for (const auto& [id, depth] : depths(p.stem)) {
      deepest = std::max(deepest, depth);
      differences += depth > 0;
    }
  BOOST_TEST(deepest == longest_chain);
  BOOST_TEST(differences > 80);
  all_is_there();
}

BOOST_AUTO_TEST_CASE(two_versions_that_follow_each_other_in_turn_are_not_made_of_each_other) {
  for (int i = 0; i < merged_at_once; ++i) checkpoint(version(i % 2));
  checkpoints(2, 4);
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  BOOST_TEST(depths().at(blobs[0].hex()) + depths().at(blobs[1].hex()) > 0);
  files.git("fsck --strict --full");
}

BOOST_AUTO_TEST_CASE(G13_what_a_damaged_object_takes_with_it_is_a_few_older_versions) {
  checkpoints(0, merged_at_once);
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  const auto lose = [&](const oid& blob) {
    flip_bit(pack(), offset_of(blob) + 10);
    BOOST_TEST(mend_packs(repo()).value().size() == 1u);
    BOOST_TEST(!repo().exists(blob));
    return std::ranges::count_if(blobs, [&](const oid& id) { return !repo().exists(id); });
  };
  BOOST_TEST(lose(blobs.back()) == 1);
  BOOST_TEST(lose(blobs.end()[-2]) == 2 + longest_chain);
  for (const oid& tree : trees) BOOST_TEST(repo().read_tree(tree).has_value());
  files.git("verify-pack '" + pack() + "'");
}

BOOST_AUTO_TEST_CASE(what_the_last_commit_has_is_whole_and_nothing_is_made_of_it) {
  checkpoints(0, 5);
  for (int i = 5; i < 10; ++i) checkpoint(version(4));  // its last version is in all of these
  checkpoints(10, 18);
  checkpoint(version(12));  // back to what it was
  checkpoint(version(12));
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  const auto found = depths();
  BOOST_TEST(found.at(blobs[12].hex()) == 0);
  BOOST_TEST(found.at(blobs[11].hex()) == 0);
  BOOST_TEST(found.at(blobs[10].hex()) == 1);
  flip_bit(pack(), offset_of(blobs[12]) + 10);
  BOOST_TEST(mend_packs(repo()).value().size() == 1u);
  BOOST_TEST(std::ranges::count_if(blobs, [&](const oid& id) { return repo().exists(id); }) == 17);
}

BOOST_AUTO_TEST_CASE(G13_an_index_of_a_pack_with_differences_is_made_anew) {
  checkpoints(0, merged_at_once);
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  const auto before = depths();
  fs::remove(fs::path(pack()).replace_extension(".idx"));
  BOOST_TEST(mend_packs(repo()).value().size() == 1u);
  BOOST_TEST((depths() == before));
  all_is_there();
}

BOOST_AUTO_TEST_CASE(what_lives_and_is_a_difference_to_what_goes_becomes_whole) {
  checkpoints(0, merged_at_once);
  BOOST_REQUIRE(consolidate_packs(repo()).value());
  const auto middle = static_cast<std::size_t>(merged_at_once / 2);
  BOOST_REQUIRE(depths().at(blobs[middle].hex()) > 0);
  write_bytes(files.path() / ".git/refs/remora/wip/run/task", commits[middle].hex() + "\n");
  repository own = repo().reopen().value();
  BOOST_TEST(
      remove_unreachable(own, []() -> result<std::vector<oid>> { return std::vector<oid>(); }, {})
          .value()
          .value() > 0u);
  for (std::vector<oid>* all : {&blobs, &trees, &commits}) {
    BOOST_TEST(!repo().reopen().value().exists(all->back()));
    all->resize(middle + 1);
  }
  BOOST_TEST(depths().at(blobs[middle].hex()) == 0);
  all_is_there();
}

BOOST_AUTO_TEST_CASE(F9_of_two_copies_the_sound_one_is_taken) {
  const auto merged = merge_with_a_damaged_twin(1000);  // whichever was read
  BOOST_TEST(std::ranges::count(merged, twin) == 1);
}

BOOST_AUTO_TEST_CASE(F9_of_two_copies_of_a_large_object_the_sound_one_is_taken) {
  BOOST_TEST((merge_with_a_damaged_twin(3U << 19) == std::vector{twin}));  // copied as they are
}

BOOST_AUTO_TEST_SUITE_END()

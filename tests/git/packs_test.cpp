#include <remora/git/packs.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <remora/git/object_writer.hpp>
#include <repo.hpp>
#include <set>
#include <thread>

#include "flip_bit.hpp"
#include "git/new_pack.hpp"
#include "git/pack_files.hpp"
#include "git/pack_format.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::flip_bit;
using remora::test::read_bytes;
using remora::test::test_repo;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

const auto nobody = [] { return false; };

struct packs_fixture {
  test_repo files;
  std::optional<repository> opened;
  std::optional<object_writer> objects;
  oid tip;
  fs::path packs = files.path() / ".git/objects/pack";

  packs_fixture() {
    files.write("f", "x");
    files.commit("one");
    opened.emplace(repository::discover(files.path()).value());
    objects.emplace(*opened);
  }
  repository& repo() { return *opened; }

  /// A commit on the one before, with a file of its own; named by no ref yet.
  void add(const std::string& text) {
    const oid blob = objects->blob(text).value();
    const oid tree = objects->tree({{"file", blob, mode::file}}).value();
    std::vector<oid> parents;
    if (!tip.is_zero()) parents.push_back(tip);
    tip = objects->commit(tree, parents, remora_signature(1), text).value();
    BOOST_REQUIRE(objects->barrier().has_value());
  }
  /// As `add`, and what a run does then.
  void checkpoint(int number) {
    add(std::to_string(number));
    files_ref("refs/remora/wip/run/task", tip);
    BOOST_REQUIRE(consolidate_packs(repo()).has_value());
  }
  void files_ref(const std::string& name, const oid& id) const {
    write_bytes(files.path() / ".git" / name, id.hex() + "\n");
  }
  std::set<std::string> names(std::string_view ending) const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(packs))
      if (entry.path().string().ends_with(ending)) found.insert(entry.path().filename());
    return found;
  }
  /// The pack of ours that holds an object, and where.
  std::string pack_of(const oid& id) const {
    for (const std::string& name : names(".idx"))
      if (files.git("show-index < '" + (packs / name).string() + "'").find(id.hex()) !=
          std::string::npos)
        return fs::path(name).stem();
    return {};
  }
  std::size_t offset_of(const std::string& stem, const oid& id) const {
    for (const packed_object& o : read_pack_index(packs / (stem + ".idx")).value().objects)
      if (o.id == id) return o.offset;
    return 0;
  }
  std::string commits() const { return files.git("rev-list --count refs/remora/wip/run/task"); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(packs, packs_fixture)

BOOST_AUTO_TEST_CASE(F8_three_hundred_checkpoints_are_ten_packs_and_git_has_nothing_to_collect) {
  std::uintmax_t copied = 0;
  std::set<std::string> seen;
  for (int i = 1; i <= 300; ++i) {
    checkpoint(i);
    for (const std::string& name : names(".pack"))
      if (seen.insert(name).second) copied += fs::file_size(packs / name);
    BOOST_REQUIRE(names(".pack").size() <= 10u);
  }
  BOOST_TEST(names(".keep").size() == names(".pack").size());
  BOOST_TEST(names(".idx").size() == names(".pack").size());
  BOOST_TEST(commits() == "300");
  BOOST_TEST(files.git("show refs/remora/wip/run/task~299:file") == "1");
  files.git("fsck --strict --full");
  std::uintmax_t all = 0;
  for (const std::string& name : names(".pack")) {
    all += fs::file_size(packs / name);
    files.git("verify-pack '" + (packs / name).string() + "'");
  }
  BOOST_TEST(copied <
             10 * all);  // log of 300 to the base of 1.5 is 14, and that only for the first
  const auto before = names("");
  files.git("-c gc.auto=6700 -c gc.autoPackLimit=50 gc --auto");
  BOOST_TEST(names("") == before);
}

BOOST_AUTO_TEST_CASE(the_repository_lets_go_of_packs_that_were_merged) {
  for (int i = 1; i <= 60; ++i) {
    checkpoint(i);
    BOOST_REQUIRE(repo().read_commit(tip).has_value());
  }
  std::size_t open = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = fs::read_symlink(entry.path(), gone).string();
    if (target.find(packs.string()) != target.npos) ++open;
    BOOST_TEST(target.find("(deleted)") == target.npos, target);
  }
  BOOST_TEST(open <= 11u);
}

BOOST_AUTO_TEST_CASE(a_reader_that_has_the_old_packs_open_goes_on_reading) {
  for (int i = 1; i <= 10; ++i) add(std::to_string(i));
  repository reader = repository::discover(files.path()).value();
  object_writer another(reader);
  const oid first = tip;
  BOOST_REQUIRE(reader.read_commit(first).has_value());
  for (int i = 11; i <= 40; ++i) {
    checkpoint(i);
    BOOST_TEST(reader.read_commit(first).has_value());
    BOOST_TEST(reader.read_commit(tip).has_value());
    another.adopt(first);
    another.adopt(tip);
    BOOST_TEST(another.barrier().has_value());
  }
}

BOOST_AUTO_TEST_CASE(packs_that_were_merged_stay_while_somebody_looks_objects_up) {
  for (int i = 1; i <= 10; ++i) checkpoint(i);
  add("11");
  const std::set<std::string> before = names(".idx");
  unique_fd listing = keep_packs(packs);
  std::thread merging([&] { BOOST_TEST(consolidate_packs(repo()).value()); });
  const auto has_merged = [&] {
    const std::set<std::string> now = names(".idx");
    return std::ranges::any_of(now, [&](const auto& name) { return !before.contains(name); });
  };
  while (!has_merged()) std::this_thread::yield();
  const std::set<std::string> kept = names(".idx");
  BOOST_TEST(std::ranges::includes(kept, before));
  listing.reset();
  merging.join();
  BOOST_TEST(names(".idx").size() < before.size());
}

BOOST_AUTO_TEST_CASE(while_another_process_merges_nothing_is_done) {
  for (int i = 1; i <= 11; ++i) add(std::to_string(i));
  {
    const auto lock = open_file(packs, O_RDONLY | O_DIRECTORY).value();
    BOOST_REQUIRE(take_hold(lock.get()));
    BOOST_TEST(!consolidate_packs(repo()).value());
    BOOST_TEST(names(".pack").size() == 11u);
  }
  BOOST_TEST(consolidate_packs(repo()).value());
  BOOST_TEST(names(".pack").size() == 1u);
  BOOST_TEST(!consolidate_packs(repo()).value());
}

BOOST_AUTO_TEST_CASE(G13_a_damaged_pack_stays_as_it_is_and_the_others_are_merged) {
  for (int i = 1; i <= 11; ++i) add(std::to_string(i));
  const std::string victim = *names(".pack").begin();
  fs::permissions(packs / victim, fs::perms::owner_all);
  std::string bytes = read_bytes(packs / victim);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_bytes(packs / victim, bytes);
  BOOST_TEST(consolidate_packs(repo()).value());
  BOOST_TEST(names(".pack").size() == 2u);
  BOOST_TEST((read_bytes(packs / victim) == bytes));
}

BOOST_AUTO_TEST_CASE(
    G13_what_is_sound_of_a_damaged_pack_is_saved_and_the_rest_is_missing_and_kept) {
  for (int i = 1; i <= 3; ++i) add(std::string(2000, static_cast<char>('a' + i)));
  const oid blob = objects->blob(std::string(2000, 'b')).value();
  const std::string victim = pack_of(blob);
  flip_bit(packs / (victim + ".pack"), offset_of(victim, blob) + 5);
  BOOST_TEST(repo().read_blob(blob).has_error());
  const auto done = mend_packs(repo()).value();
  BOOST_REQUIRE(done.size() == 1u);
  BOOST_TEST(done[0].find("2 of 3 of its objects") != std::string::npos, done[0]);
  BOOST_TEST(!repo().exists(blob));
  BOOST_TEST(!fs::exists(packs / (victim + ".pack")));
  const auto kept = damaged_packs(repo());
  BOOST_REQUIRE(kept.size() == 1u);
  BOOST_TEST(kept[0].pack == files.path() / ".git/remora/damaged" / (victim + ".pack"));
  const fs::path index = fs::path(kept[0].pack).replace_extension(".idx");
  BOOST_TEST(kept[0].bytes == fs::file_size(kept[0].pack) + fs::file_size(index));
  BOOST_TEST(names(".keep").size() == 3u);
  BOOST_TEST(files.git("rev-list --count " + tip.hex()) == "3");
  BOOST_TEST(mend_packs(repo()).value().empty());
  add(std::string(2000, 'b'));  // as it was: it is there again
  BOOST_TEST(repo().read_blob(blob).has_value());
}

BOOST_AUTO_TEST_CASE(G13_an_index_that_is_gone_or_damaged_is_made_anew) {
  for (const char* how : {"gone", "empty", "cut", "flipped"}) {
    for (int i = 1; i <= 3; ++i) add(how + std::to_string(i));
    const fs::path index = packs / *names(".idx").begin();
    const std::string bytes = read_bytes(index);
    fs::permissions(index, fs::perms::owner_all);
    fs::remove(index);
    if (how[0] == 'e') write_bytes(index, "");
    if (how[0] == 'c') write_bytes(index, bytes.substr(0, bytes.size() / 2));
    if (how[0] == 'f') {
      write_bytes(index, bytes);
      flip_bit(index, bytes.size() / 2);
    }
    const std::size_t packs_before = names(".pack").size();
    BOOST_TEST(mend_packs(repo()).value().size() == 1u, how);
    BOOST_TEST(names(".idx").size() == packs_before);
    BOOST_TEST(names(".pack").size() == packs_before);
    files.git("rev-list --objects " + tip.hex());
  }
  files.git("fsck --strict --full");
  BOOST_TEST(!fs::exists(files.path() / ".git/remora/damaged"));
}

BOOST_AUTO_TEST_CASE(
    G13_a_pack_that_is_cut_keeps_what_comes_before_the_cut_with_an_index_or_without) {
  for (const bool with_index : {true, false}) {
    const oid first = objects->blob("first" + std::to_string(with_index)).value();
    add(std::string(5000, 'x') + std::to_string(with_index));
    const std::string victim = pack_of(first);
    const fs::path pack = packs / (victim + ".pack");
    fs::permissions(pack, fs::perms::owner_all);
    fs::resize_file(pack, fs::file_size(pack) - 40);
    if (!with_index) fs::remove(packs / (victim + ".idx"));
    BOOST_TEST(mend_packs(repo()).value().size() == 1u);
    BOOST_TEST(repo().read_blob(first).has_value());
    BOOST_TEST(!repo().exists(tip));
    tip = oid();
  }
}

BOOST_AUTO_TEST_CASE(packs_of_other_peoples_making_are_never_touched) {
  files.git("repack -a -d -q");
  const std::string theirs = *names(".pack").begin();
  const std::string kept = (packs / theirs).replace_extension(".keep");
  write_bytes(kept, "");
  for (int i = 1; i <= 30; ++i) checkpoint(i);
  files.git("update-ref -d refs/remora/wip/run/task");
  BOOST_REQUIRE(release_kept_packs(repo(), nobody).has_value());
  sweep_object_files(repo());
  BOOST_TEST(fs::exists(packs / theirs));
  BOOST_TEST(fs::exists(kept));
  BOOST_TEST(names(".keep").size() == 1u);
}

BOOST_AUTO_TEST_CASE(packs_that_a_multi_pack_index_names_are_left_to_it) {
  for (int i = 1; i <= 5; ++i) add(std::to_string(i));
  files.git("multi-pack-index write");
  const auto indexed = names(".pack");
  for (int i = 6; i <= 20; ++i) checkpoint(i);
  for (const std::string& name : indexed) BOOST_TEST(fs::exists(packs / name));
  files.git("multi-pack-index verify");
  files.git("fsck --strict --full");
  BOOST_TEST(commits() == "20");
}

BOOST_AUTO_TEST_CASE(without_checkpoints_the_packs_are_the_users_to_collect) {
  checkpoint(1);
  checkpoint(2);
  BOOST_REQUIRE(release_kept_packs(repo(), nobody).has_value());
  BOOST_TEST(names(".keep").size() == 2u);  // a checkpoint is there
  files.git("update-ref refs/heads/result refs/remora/wip/run/task");
  files.git("update-ref -d refs/remora/wip/run/task");
  BOOST_REQUIRE(release_kept_packs(repo(), [] { return true; }).has_value());
  BOOST_TEST(names(".keep").size() == 2u);  // a run is live
  BOOST_REQUIRE(release_kept_packs(repo(), nobody).has_value());
  BOOST_TEST(names(".keep").empty());
  BOOST_TEST(names(".pack").size() == 2u);
  files.git("gc -q --prune=now");
  BOOST_TEST(names(".pack").size() == 1u);
  BOOST_TEST(files.git("rev-list --count result") == "2");
}

BOOST_AUTO_TEST_CASE(a_pack_that_is_written_while_packs_are_released_keeps_its_keep) {
  add("1");
  BOOST_REQUIRE(release_kept_packs(repo(), [&] {
                  add("2");
                  return false;
                }).has_value());
  BOOST_TEST(names(".keep").size() == 1u);
}

// --- what dead writers left ---

BOOST_AUTO_TEST_CASE(G16_a_killed_writer_leaves_only_what_the_sweep_removes) {
  const auto before = names("");
  const pid_t child = ::fork();
  if (child == 0) {
    auto mine = repository::discover(files.path());
    object_writer writer(*mine);
    (void)writer.blob(std::string(100'000, 'x'));
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_TEST(WIFSIGNALED(status));
  BOOST_TEST(names("").size() == before.size() + 1);
  const oid alive = objects->blob("of one that lives").value();
  BOOST_TEST(sweep_object_files(repo()).size() == 1u);
  BOOST_REQUIRE(objects->barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + alive.hex()) == "of one that lives");
  BOOST_TEST(sweep_object_files(repo()).empty());
}

BOOST_AUTO_TEST_CASE(G16_names_without_a_pack_go_and_a_pack_without_an_index_gets_one) {
  for (int i = 1; i <= 4; ++i) add(std::to_string(i));
  const auto all = names(".pack");
  const auto path = [&](int which, const char* ending) {
    return (packs / *std::next(all.begin(), which)).replace_extension(ending);
  };
  fs::remove(path(0, ".idx"));  // named so far, or removed so far, or lost
  fs::remove(path(1, ".idx"));
  fs::remove(path(1, ".pack"));
  fs::remove(path(2, ".pack"));
  write_bytes(packs / "pack-0000000000000000000000000000000000000000.keep", "not ours");
  write_bytes(files.path() / ".git/objects/tmp_objdir-remora-abc/12/34", "of an old version");
  const auto found = find_object_files(repo());
  BOOST_TEST(names(".idx").size() == 2u);  // a look touches nothing
  const auto swept = sweep_object_files(repo());
  BOOST_TEST(swept.size() == 5u);
  BOOST_TEST(swept == found, boost::test_tools::per_element());
  BOOST_TEST(names(".pack").contains(path(3, ".pack").filename()));
  BOOST_TEST(names(".pack").size() == 2u);
  BOOST_TEST(names(".idx").size() == 2u);
  BOOST_TEST(names(".keep").size() == 3u);
  BOOST_TEST(!fs::exists(files.path() / ".git/objects/tmp_objdir-remora-abc"));
  BOOST_TEST(sweep_object_files(repo()).empty());
}

BOOST_AUTO_TEST_CASE(a_pack_that_a_living_writer_is_naming_is_left_alone) {
  add("1");
  const std::string stem = fs::path(*names(".pack").begin()).stem();
  fs::remove(pack_path(packs, stem, ".idx"));
  {
    const auto held = open_file(pack_path(packs, stem, ".pack"), O_RDONLY).value();
    BOOST_REQUIRE(take_hold(held.get()));
    BOOST_TEST(sweep_object_files(repo()).empty());
  }
  fs::remove(pack_path(packs, stem, ".pack"));
  {
    const auto held = held_file::make(packs, ".tmp").value();  // it may be the one of that `.keep`
    BOOST_TEST(sweep_object_files(repo()).empty());
  }
  BOOST_TEST(sweep_object_files(repo()).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <remora/git/object_writer.hpp>
#include <remora/git/packs.hpp>
#include <repo.hpp>
#include <set>
#include <thread>

#include "git/pack_files.hpp"
#include "noise.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::noise;
using remora::test::read_bytes;
using remora::test::test_repo;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

const std::string wip = "refs/remora/wip/run/task";

struct thinned_fixture {
  test_repo files;
  std::optional<repository> opened;
  std::optional<object_writer> objects;
  fs::path packs = files.path() / ".git/objects/pack";
  std::vector<oid> named;  ///< by no ref, and needed

  thinned_fixture() {
    files.write("f", "x");
    files.commit("one");
    opened.emplace(repository::discover(files.path()).value());
    objects.emplace(*opened);
  }
  repository& repo() { return *opened; }

  oid blob(std::uint32_t seed) { return objects->blob(noise(10'000, seed)).value(); }
  oid commit(const std::vector<tree_entry>& entries, const std::vector<oid>& parents) {
    const oid tree = objects->tree(entries).value();
    const oid made = objects->commit(tree, parents, remora_signature(1), "c").value();
    BOOST_REQUIRE(objects->barrier().has_value());
    return made;
  }
  /// A checkpoint with a file of its own, and one that all of them have.
  oid checkpoint(std::uint32_t seed, const std::vector<oid>& parents) {
    const oid made =
        commit({{"all", blob(1), mode::file}, {"own", blob(seed), mode::file}}, parents);
    write_bytes(files.path() / ".git" / wip, made.hex() + "\n");
    return made;
  }
  /// Ten of one chain, then one that begins another.
  oid thin() {
    oid last = checkpoint(100, {});
    for (std::uint32_t i = 101; i < 110; ++i) last = checkpoint(i, {last});
    return checkpoint(110, {});
  }
  std::optional<std::uint64_t> remove() {
    repository own = repo().reopen().value();
    return remove_unreachable(own, [&]() -> result<std::vector<oid>> { return named; }, {}).value();
  }
  std::uintmax_t bytes() const {
    std::uintmax_t all = 0;
    for (const auto& entry : fs::directory_iterator(packs)) all += entry.file_size();
    return all;
  }
  bool is_there(const oid& id) const {
    return test_repo::try_git(files.path(), "cat-file -e " + id.hex()).status == 0;
  }
  /// Every pack of ours gets another time.
  void set_times(std::int64_t seconds_ago) const {
    for (const our_files& p : list_our_packs(packs)) {
      timespec then{};
      ::clock_gettime(CLOCK_REALTIME, &then);
      then.tv_sec -= seconds_ago;
      const timespec both[] = {then, then};
      ::utimensat(AT_FDCWD, pack_path(packs, p.stem, ".pack").c_str(), both, 0);
    }
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(removing_unreachable, thinned_fixture)

BOOST_AUTO_TEST_CASE(F8_what_no_checkpoint_holds_any_more_goes_and_the_newest_is_whole) {
  const oid newest = thin();
  const std::uintmax_t before = bytes();
  const auto freed = remove();
  BOOST_REQUIRE(freed.has_value());
  BOOST_TEST(*freed > 80'000u);
  BOOST_TEST(bytes() < 30'000u);
  BOOST_TEST(before - bytes() < *freed + 20'000);  // the indexes are not counted
  files.git("fsck --strict --full");
  BOOST_TEST(files.git("rev-list --objects " + newest.hex() + " | wc -l") == "4");
  const auto left = list_our_packs(packs);
  BOOST_TEST(left.size() == 2u);  // its own, and of the first one what it still needs
  for (const our_files& p : left) BOOST_TEST((p.pack && p.index && p.keep));
  BOOST_TEST(remove().value() == 0u);
}

BOOST_AUTO_TEST_CASE(the_writer_writes_again_what_it_knew_and_what_is_gone) {
  thin();
  const oid gone = blob(105);  // it was written, and is durable
  BOOST_TEST(repo().read_blob(gone).has_value());
  BOOST_REQUIRE(remove().value() > 0u);
  const unique_fd held = hold_objects(repo()).value();
  BOOST_TEST(!repo().exists(gone));
  checkpoint(105, {});
  BOOST_TEST(is_there(gone));
  files.git("fsck --strict --full");
}

BOOST_AUTO_TEST_CASE(what_the_user_names_stays) {
  const oid first = checkpoint(100, {});
  files.git("branch mine " + first.hex());
  files.git("update-index --add --cacheinfo 100644," + blob(102).hex() + ",staged");
  const oid elsewhere = blob(103);
  files.git("worktree add -q --detach ../other-" + files.path().filename().string());
  const fs::path other = files.path().parent_path() / ("other-" + files.path().filename().string());
  oid last = first;
  for (std::uint32_t i = 101; i < 110; ++i) last = checkpoint(i, {last});
  test_repo::try_git(other, "update-index --add --cacheinfo 100644," + elsewhere.hex() + ",there");
  checkpoint(110, {});
  set_times(3600);  // nobody relies on them
  BOOST_TEST(remove().value() > 0u);
  for (const oid& id : {blob(100), blob(102), elsewhere}) BOOST_TEST(is_there(id));
  BOOST_TEST(!is_there(blob(104)));
  files.git("fsck --strict --full");
  fs::remove_all(other);
}

BOOST_AUTO_TEST_CASE(G17_what_a_journal_names_stays_without_a_ref) {
  const oid newest = thin();
  named = {checkpoint(111, {newest}), oid::parse(std::string(40, 'e')).value()};
  fs::remove(files.path() / ".git" / wip);
  BOOST_TEST(remove().value() > 0u);
  BOOST_TEST(files.git("rev-list --objects " + named[0].hex() + " | wc -l") == "7");
}

BOOST_AUTO_TEST_CASE(what_a_git_add_has_found_a_moment_ago_stays) {
  thin();
  const oid found = blob(104);
  files.write("again", noise(10'000, 104));
  files.git("hash-object -w again");  // it is there: nothing is written, and no index has it yet
  remove();
  BOOST_TEST(is_there(found));
  BOOST_TEST(!is_there(blob(105)));
  // In the merged pack of it, too.
  for (std::uint32_t i = 200; i < 215; ++i) {
    checkpoint(i, {});
    BOOST_REQUIRE(consolidate_packs(repo()).has_value());
  }
  BOOST_TEST(remove().has_value());
  BOOST_TEST(is_there(found));
  set_times(3600);
  BOOST_TEST(remove().value() > 0u);
  BOOST_TEST(!is_there(found));
}

BOOST_AUTO_TEST_CASE(while_a_checkpoint_is_in_the_making_nothing_goes) {
  const oid newest = thin();
  const std::uintmax_t before = bytes();
  {
    unique_fd held = hold_objects(repo()).value();
    std::optional<std::uint64_t> freed;
    std::thread removing([&] { freed = remove(); });
    while (list_our_packs(packs).size() < 12) std::this_thread::yield();  // what lives is copied
    BOOST_TEST(bytes() > before);
    held.reset();
    removing.join();
    BOOST_TEST(freed.value() > 0u);
  }
  BOOST_TEST(bytes() < before);
  BOOST_TEST(is_there(newest));
}

BOOST_AUTO_TEST_CASE(while_another_process_merges_or_mends_nothing_is_removed) {
  thin();
  const std::uintmax_t before = bytes();
  {
    const auto merging = open_file(packs, O_RDONLY | O_DIRECTORY).value();
    BOOST_REQUIRE(take_hold(merging.get()));
    BOOST_TEST(!remove().has_value());
  }
  BOOST_TEST(bytes() == before);
  BOOST_TEST(remove().value() > 0u);
}

BOOST_AUTO_TEST_CASE(G13_where_git_cannot_read_all_that_is_reachable_nothing_goes) {
  thin();
  files.git("update-ref refs/heads/mine HEAD");
  write_bytes(files.path() / ".git/refs/heads/mine", std::string(40, 'e') + "\n");
  const std::uintmax_t before = bytes();
  repository own = repo().reopen().value();
  const auto refused =
      remove_unreachable(own, [&]() -> result<std::vector<oid>> { return named; }, {});
  BOOST_REQUIRE(refused.has_error());
  BOOST_TEST(refused.error().is(errc::repository));
  BOOST_TEST(bytes() == before);
}

BOOST_AUTO_TEST_CASE(a_pack_of_which_little_is_dead_stays) {
  std::vector<tree_entry> entries;
  for (std::uint32_t i = 1; i < 9; ++i)
    entries.push_back({"f" + std::to_string(i), blob(i), mode::file});
  const oid first = commit(entries, {});  // one pack of eight files
  entries.pop_back();
  const oid next = commit(entries, {});
  write_bytes(files.path() / ".git" / wip, next.hex() + "\n");
  BOOST_TEST(remove().value() == 0u);
  BOOST_TEST(is_there(first));
}

BOOST_AUTO_TEST_CASE(G16_what_a_killed_one_set_aside_is_put_back) {
  thin();
  const std::string stem = list_our_packs(packs).front().stem;
  const fs::path pack = pack_path(packs, stem, ".pack"), aside = pack_path(packs, stem, ".aside");
  fs::rename(pack, aside);
  {
    const unique_fd alive = open_file(aside, O_RDONLY).value();
    BOOST_REQUIRE(take_hold(alive.get()));
    sweep_object_files(repo());
    BOOST_TEST((fs::exists(aside) && fs::exists(pack_path(packs, stem, ".idx"))));
  }
  sweep_object_files(repo());
  BOOST_TEST((!fs::exists(aside) && fs::exists(pack)));
  files.git("fsck --strict --full");
}

BOOST_AUTO_TEST_CASE(F1_what_was_durable_before_a_removal_is_written_again) {
  thin();
  const oid gone = blob(105);
  BOOST_REQUIRE(remove().value() > 0u);
  // An agent's git puts it back, and need not sync it.
  const fs::path file = files.path() / "again";
  write_bytes(file, noise(10'000, 105));
  BOOST_TEST(files.git("hash-object -w again") == gone.hex());
  const unique_fd held = hold_objects(repo()).value();
  BOOST_TEST(!objects->is_durable(gone));
  checkpoint(105, {});
  const std::string name = gone.hex();
  fs::remove(files.path() / ".git/objects" / name.substr(0, 2) / name.substr(2));
  BOOST_TEST(is_there(gone));
}

/// Where git keeps what operations in progress need, and `rev-list --all` does not look.
BOOST_AUTO_TEST_CASE(G12_what_an_operation_in_progress_needs_stays) {
  const fs::path git = files.path() / ".git";
  files.git("worktree add -q --detach ../beside-" + files.path().filename().string());
  const fs::path other =
      files.path().parent_path() / ("beside-" + files.path().filename().string());
  const fs::path theirs = git / "worktrees" / other.filename();
  const std::vector<fs::path> places{
      git / "MERGE_HEAD",          git / "MERGE_AUTOSTASH",   git / "rebase-merge/autostash",
      theirs / "CHERRY_PICK_HEAD", theirs / "sequencer/todo", theirs / "refs/bisect/bad"};
  std::vector<oid> needed;
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    needed.push_back(checkpoint(200 + i, {}));
    fs::create_directories(places[i].parent_path());
    write_bytes(places[i], (i == 4 ? "pick " : "") + needed.back().hex() + "\n");
  }
  thin();
  set_times(3600);
  BOOST_TEST(remove().value() > 0u);
  for (std::size_t i = 0; i < needed.size(); ++i) BOOST_TEST(is_there(needed[i]), places[i]);
  for (std::uint32_t i = 0; i < places.size(); ++i) BOOST_TEST(is_there(blob(200 + i)), places[i]);
  fs::remove_all(other);
}

BOOST_AUTO_TEST_CASE(G12_what_an_index_in_the_making_names_stays) {
  const oid staged = blob(200);
  checkpoint(200, {});
  files.git("update-index --add --cacheinfo 100644," + staged.hex() + ",staged");
  const std::string index = read_bytes(files.path() / ".git/index");
  files.git("reset -q");
  thin();
  set_times(3600);
  const fs::path lock = files.path() / ".git/index.lock";
  write_bytes(lock, index.substr(0, index.size() / 2));
  BOOST_TEST(!remove());  // not now
  write_bytes(lock, index);
  BOOST_TEST(remove().value() > 0u);
  BOOST_TEST(is_there(staged));
  write_bytes(lock, "");
  const timespec old[] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ::utimensat(AT_FDCWD, lock.c_str(), old, 0);
  BOOST_TEST(remove().has_value());  // a dead git's
}

BOOST_AUTO_TEST_CASE(what_is_replaced_for_a_reader_stays) {
  const oid newest = thin();
  set_times(3600);
  files.git("replace " + newest.hex() + " HEAD");
  BOOST_TEST(remove().value() > 0u);
  files.git("replace -d " + newest.hex());
  files.git("fsck --strict --full");
  BOOST_TEST(files.git("rev-list --objects " + newest.hex() + " | wc -l") == "4");
}

BOOST_AUTO_TEST_CASE(what_comes_to_be_named_meanwhile_stays) {
  const oid first = checkpoint(100, {});
  oid last = first;
  for (std::uint32_t i = 101; i < 110; ++i) last = checkpoint(i, {last});
  checkpoint(110, {});
  set_times(3600);
  repository own = repo().reopen().value();
  int asked = 0;
  const auto also = [&]() -> result<std::vector<oid>> {
    if (++asked == 3) files.git("branch rescued " + last.hex());  // once all was looked at
    return named;
  };
  BOOST_TEST(remove_unreachable(own, also, {}).has_value());
  BOOST_TEST(asked == 3);
  files.git("fsck --strict --full");
  BOOST_TEST(is_there(last));
}

BOOST_AUTO_TEST_CASE(G13_where_it_cannot_be_known_what_is_needed_nothing_goes) {
  thin();
  repository own = repo().reopen().value();
  const auto also = []() -> result<std::vector<oid>> { return fail(errc::environment, "no"); };
  const std::uintmax_t before = bytes();
  BOOST_TEST(!remove_unreachable(own, also, {}).has_value());
  BOOST_TEST(bytes() == before);
}

BOOST_AUTO_TEST_SUITE_END()

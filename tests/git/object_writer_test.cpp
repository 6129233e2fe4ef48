#include <remora/git/object_writer.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <remora/core/posix.hpp>
#include <repo.hpp>

#include "watched_sync.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::test_repo;
using remora::test::watched_sync;
using remora::test::write_bytes;
namespace fs = std::filesystem;

namespace {

struct writer_fixture {
  test_repo files;
  oid head;
  std::optional<repository> opened;

  writer_fixture() {
    files.write("f", "x");
    head = files.commit("one");
    auto repo = repository::discover(files.path());
    if (!repo) throw std::runtime_error(repo.error().what);
    opened.emplace(std::move(*repo));
  }
  repository& repo() { return *opened; }
  fs::path loose(const oid& id) const {
    return files.path() / ".git/objects" / id.hex().substr(0, 2) / id.hex().substr(2);
  }
  std::string loose_name(const oid& id) const {
    return id.hex().substr(0, 2) + "/" + id.hex().substr(2);
  }
  fs::path packs() const { return files.path() / ".git/objects/pack"; }
  /// Names in `objects/pack` with this ending.
  std::vector<std::string> packed(std::string_view ending) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(packs()))
      if (entry.path().string().ends_with(ending)) names.push_back(entry.path().filename());
    return names;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(object_writers, writer_fixture)

BOOST_AUTO_TEST_CASE(objects_are_what_git_would_have_written) {
  object_writer objects(repo());
  const oid blob = objects.blob(std::string("a\0b\r\n", 5)).value();
  files.write("g", std::string("a\0b\r\n", 5));
  BOOST_TEST(files.git("hash-object --no-filters g") == blob.hex());
  const oid tree = objects
                       .tree({{"z", blob, mode::file},
                              {"a", blob, mode::executable},
                              {"l", blob, mode::symlink},
                              {"a.b", blob, mode::file},
                              {"a-dir", objects.tree({}).value(), mode::directory}})
                       .value();
  const oid commit =
      objects
          .commit(tree, std::array{head}, signature{"A <b>\n", "a@b", 1'700'000'000, -90},
                  "subject\n\nbody without a last newline")
          .value();
  BOOST_REQUIRE(objects.barrier().has_value());
  files.git("fsck --strict " + commit.hex());
  BOOST_TEST(files.git("log -1 --format='%an|%ae|%ad|%P' --date=raw " + commit.hex()) ==
             "A b|a@b|1700000000 -0130|" + head.hex());
  BOOST_TEST(
      (repo().read_commit(commit).value().message == "subject\n\nbody without a last newline"));
}

BOOST_AUTO_TEST_CASE(W8_names_that_git_refuses_are_refused_and_odd_ones_are_not) {
  object_writer objects(repo());
  const oid blob = objects.blob("x").value();
  for (const char* bad : {"", ".", "..", "a/b", ".git", ".GIT", "git~1", ".git ", ".git.",
                          ".git::$INDEX_ALLOCATION", ".g\xE2\x80\x8Cit"}) {
    BOOST_TEST(!is_tree_name(bad), bad);
    BOOST_TEST(objects.tree({{bad, blob, mode::file}}).error().is(errc::usage), bad);
  }
  for (const char* good : {".gitignore", "git", "a b", "\xff", "new\nline", ".git2", "git~2"})
    BOOST_TEST(objects.tree({{good, blob, mode::file}}).has_value(), good);
  const oid empty = objects.tree({}).value();
  BOOST_TEST(
      objects
          .tree({{"a", blob, mode::file}, {"a.", blob, mode::file}, {"a", empty, mode::directory}})
          .error()
          .is(errc::usage));
}

BOOST_AUTO_TEST_CASE(F1_new_objects_cost_three_syncs_whatever_their_number_and_size) {
  object_writer objects(repo());
  watched_sync syncs;
  std::vector<oid> ids;
  for (int i = 0; i < 300; ++i) ids.push_back(objects.blob(std::to_string(i)).value());
  ids.push_back(objects.blob(std::string(8 << 20, 'x')).value());
  BOOST_TEST(!objects.is_durable(ids.back()));
  BOOST_REQUIRE(objects.barrier().has_value());
  for (const oid& id : ids) BOOST_TEST(objects.is_durable(id));
  BOOST_REQUIRE(syncs.files.size() == 3u);  // bytes, then names
  BOOST_TEST(syncs.files[0].ends_with(".tmp"));
  BOOST_TEST(syncs.files[1].ends_with(".idx.tmp"));
  BOOST_TEST(syncs.files[2] == packs().string());
  BOOST_TEST(syncs.file_systems.empty());
  BOOST_TEST(packed(".pack").size() == 1u);
  BOOST_TEST(packed(".keep").size() == 1u);
  BOOST_TEST(packed(".tmp").empty());
}

BOOST_AUTO_TEST_CASE(F1_what_is_there_already_costs_nothing_again) {
  object_writer objects(repo());
  const oid id = objects.blob("something new").value();
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(objects.bytes_written() == 13u);
  watched_sync syncs;
  BOOST_TEST((objects.blob("something new").value() == id));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(syncs.files.empty());
  BOOST_TEST(packed(".pack").size() == 1u);
}

BOOST_AUTO_TEST_CASE(F1_an_object_has_its_name_for_others_once_it_is_durable_and_for_us_at_once) {
  object_writer objects(repo());
  const oid id = objects.blob("new").value();
  BOOST_TEST(test_repo::try_git(files.path(), "cat-file -e " + id.hex()).status != 0);
  BOOST_TEST((repo().read_blob(id).value() == "new"));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "new");
}

BOOST_AUTO_TEST_CASE(what_never_reached_a_barrier_is_dropped) {
  std::optional<object_writer> objects(repo());
  const oid id = objects->blob("dropped").value();
  objects.reset();
  BOOST_TEST(!repo().exists(id));
  BOOST_TEST(packed("").empty());
}

BOOST_AUTO_TEST_CASE(G7_a_prune_leaves_alone_what_waits) {
  object_writer objects(repo());
  const oid id = objects.blob("waits").value();
  files.git("gc --prune=now");
  files.git("prune --expire=now");
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "waits");
}

BOOST_AUTO_TEST_CASE(G7_a_collection_takes_neither_our_packs_nor_what_is_in_them) {
  object_writer objects(repo());
  const oid id = objects.blob("no ref names it yet").value();
  BOOST_REQUIRE(objects.barrier().has_value());
  files.git("gc --prune=now");
  files.git("repack -a -d -q");
  files.git("prune-packed");
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "no ref names it yet");
  BOOST_TEST(packed(".keep").size() == 1u);
}

BOOST_AUTO_TEST_CASE(G7_a_removal_of_what_waits_fails_the_barrier_and_the_retry_writes_anew) {
  object_writer objects(repo());
  const oid id = objects.blob("waits").value();
  for (const std::string& name : packed(".tmp")) fs::remove(packs() / name);
  BOOST_TEST(objects.barrier().error().is_errno(ENOENT));
  BOOST_TEST(!objects.is_durable(id));
  BOOST_TEST(packed("").empty());
  BOOST_TEST((objects.blob("waits").value() == id));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "waits");
}

BOOST_AUTO_TEST_CASE(F1_a_blob_that_somebodys_git_wrote_is_written_again) {
  files.write("g", "by an agent");
  files.git("add g");
  object_writer objects(repo());
  const oid id = objects.blob("by an agent").value();
  BOOST_TEST(objects.bytes_written() == 11u);
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(objects.is_durable(id));
  BOOST_TEST(fs::remove(files.path() / ".git/objects" / loose_name(id)));
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "by an agent");
}

BOOST_AUTO_TEST_CASE(F1_what_a_power_cut_emptied_is_no_object) {
  files.write("g", "by an agent");
  files.git("add g");
  const oid id = files.id(":g");
  const fs::path loose = files.path() / ".git/objects" / loose_name(id);
  fs::permissions(loose, fs::perms::owner_write, fs::perm_options::add);
  fs::resize_file(loose, 0);
  object_writer objects(repo());
  objects.adopt(id);
  BOOST_TEST(objects.barrier().error().is(errc::corrupt));
  BOOST_TEST((objects.blob("by an agent").value() == id));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "by an agent");
}

BOOST_AUTO_TEST_CASE(G7_what_is_adopted_stays_when_somebodys_repack_drops_it) {
  files.write("g", "staged for a moment");
  files.git("add g");
  const oid id = files.id(":g");
  files.git("repack -a -d -q");
  files.git("reset -q --hard");
  object_writer objects(repo());
  objects.adopt(id);
  BOOST_REQUIRE(objects.barrier().has_value());
  files.git("repack -a -d -q");  // no ref names it
  files.git("prune --expire=now");
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "staged for a moment");
}

BOOST_AUTO_TEST_CASE(G7_what_is_adopted_from_a_pack_that_was_given_up_to_git_stays) {
  oid id;
  {
    object_writer earlier(repo());  // of a run that has ended since
    id = earlier.blob("the same in every run").value();
    BOOST_REQUIRE(earlier.barrier().has_value());
  }
  const std::vector<std::string> its = packed(".keep");
  object_writer objects(repo());
  objects.adopt(id);
  BOOST_REQUIRE(objects.barrier().has_value());
  for (const std::string& keep : its) fs::remove(packs() / keep);  // by who did not know of us
  files.git("repack -a -d -q");                                    // no ref names it
  files.git("prune --expire=now");
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "the same in every run");
}

BOOST_AUTO_TEST_CASE(F1_a_large_object_of_somebodys_is_synced_where_it_is) {
  files.git("config core.compression 0");
  const oid id =
      oid::parse(files.git("hash-object -w --stdin < /dev/null")).value();  // small: copied
  files.git("config core.bigFileThreshold 1");
  const std::string large =
      test::shell(files.path(), "head -c 70000000 /dev/zero | git hash-object -w --stdin").out;
  const oid large_id = oid::parse(large.substr(0, 40)).value();
  object_writer objects(repo());
  watched_sync syncs;
  objects.adopt(id);
  objects.adopt(large_id);
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(objects.bytes_written() == 0u);  // the empty one
  BOOST_TEST(objects.is_durable(large_id));
  BOOST_TEST(syncs.files.size() > 3u);
  BOOST_TEST(packed(".keep").size() == 1u);
}

BOOST_AUTO_TEST_CASE(G14_an_object_of_an_alternate_is_copied) {
  files.git("clone -q --shared . ../borrower");
  auto borrower = repository::discover(files.beside("borrower")).value();
  object_writer objects(borrower);
  objects.adopt(head);
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(fs::remove(files.beside("borrower/.git/objects/info/alternates")));
  BOOST_TEST(files.git_in(files.beside("borrower"), "cat-file -t " + head.hex()) == "commit");
}

BOOST_AUTO_TEST_CASE(many_adopted_objects_cost_no_more_than_one) {
  for (int i = 0; i < 70; ++i) files.write("many/" + std::to_string(i), std::to_string(i));
  files.commit("two");
  object_writer objects(repo());
  watched_sync syncs;
  BOOST_REQUIRE(objects.adopt_commits(files.id("HEAD"), head).has_value());
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(syncs.file_systems.empty());
  BOOST_TEST(syncs.files.size() == 3u);
  BOOST_TEST(objects.is_durable(files.id("HEAD:many/69")));
}

BOOST_AUTO_TEST_CASE(an_agents_commits_are_adopted_with_their_trees_and_blobs_and_no_more) {
  files.write("d/new", "n");
  const oid two = files.commit("two");
  files.git("checkout -q -b side HEAD~1");
  files.write("s", "s");
  files.commit("side");
  files.git("checkout -q main");
  files.git("merge -q --no-edit side");
  const oid merge = files.id("HEAD");
  object_writer objects(repo());
  BOOST_REQUIRE(objects.adopt_commits(merge, head).has_value());
  BOOST_REQUIRE(objects.barrier().has_value());
  for (const char* spec :
       {"HEAD", "HEAD^{tree}", "HEAD~1", "HEAD^2", "HEAD:d", "HEAD:d/new", "HEAD:s"})
    BOOST_TEST(objects.is_durable(files.id(spec)), spec);
  BOOST_TEST(!objects.is_durable(head));
  BOOST_TEST(!objects.is_durable(files.id("HEAD:f")));
  BOOST_TEST(objects.is_durable(two));
}

BOOST_AUTO_TEST_CASE(what_is_trusted_is_durable_and_never_synced) {
  object_writer objects(repo());
  watched_sync syncs;
  objects.trust(head);
  BOOST_TEST(objects.is_durable(head));
  objects.adopt(head);
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(syncs.files.empty());
}

BOOST_AUTO_TEST_CASE(F4_after_a_failed_sync_nothing_is_believed_and_the_retry_writes_anew) {
  object_writer objects(repo());
  watched_sync syncs;
  const oid mine = objects.blob("mine").value();
  const oid theirs = files.id("HEAD:f");
  objects.adopt(theirs);
  syncs.fail_at(".tmp$");
  const auto failed = objects.barrier();
  BOOST_REQUIRE(failed.has_error());
  BOOST_TEST(failed.error().is_errno(EIO));
  BOOST_TEST(!objects.is_durable(mine));
  BOOST_TEST(!objects.is_durable(theirs));
  syncs.fail_at("");
  BOOST_REQUIRE(objects.barrier().has_value());  // nothing is pending
  BOOST_TEST(!objects.is_durable(mine));
  syncs.files.clear();
  objects.adopt(theirs);
  BOOST_TEST((objects.blob("mine").value() == mine));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(objects.is_durable(mine));
  BOOST_TEST(objects.is_durable(theirs));
  BOOST_TEST(packed(".pack").size() == 1u);
  files.git("fsck --strict");
}

BOOST_AUTO_TEST_CASE(F4_a_pack_of_which_something_could_not_be_synced_is_made_anew) {
  object_writer objects(repo());
  watched_sync syncs;
  for (const char* failing : {".tmp$", ".idx.tmp$", "objects/pack$"}) {
    const std::string text = std::string("fresh ") + failing;
    const oid id = objects.blob(text).value();
    syncs.fail_at(failing);
    BOOST_TEST(objects.barrier().error().is_errno(EIO), failing);
    BOOST_TEST(!objects.is_durable(id));
    BOOST_TEST(packed(".tmp").empty());
    const std::size_t before = packed(".pack").size();
    BOOST_TEST(packed(".keep").size() == before);
    syncs.fail_at("");
    syncs.files.clear();
    BOOST_TEST((objects.blob(text).value() == id));
    BOOST_REQUIRE(objects.barrier().has_value());
    BOOST_TEST(syncs.files.size() == 3u);
    BOOST_TEST(packed(".pack").size() == before + 1);
    BOOST_TEST(objects.is_durable(id));
    BOOST_TEST(files.git("cat-file -p " + id.hex()) == text);
  }
}

BOOST_AUTO_TEST_CASE(
    G13_a_damaged_loose_object_does_not_hide_a_sound_one_in_a_pack_that_came_later) {
  BOOST_TEST(repo().read_blob(head).error().is(errc::corrupt));  // a commit; the packs are listed
  repository other = repository::discover(files.path()).value();
  object_writer theirs(other);
  const oid id = theirs.blob("sound").value();
  BOOST_REQUIRE(theirs.barrier().has_value());
  const fs::path loose = files.path() / ".git/objects" / loose_name(id);
  test::write_bytes(loose, "not what git would write");
  BOOST_TEST(repo().read_blob(id).value() == "sound");
}

BOOST_AUTO_TEST_CASE(F1_of_what_another_writer_of_ours_published_only_the_name_is_synced) {
  repository other = repository::discover(files.path()).value();
  object_writer theirs(other), objects(repo());
  const oid first = theirs.blob("first").value();
  BOOST_REQUIRE(theirs.barrier().has_value());
  const oid second = theirs.blob("second").value();
  BOOST_REQUIRE(theirs.barrier().has_value());
  watched_sync syncs;
  objects.adopt(first);
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(syncs.files == std::vector<std::string>{packs().string()});
  BOOST_TEST(objects.is_durable(first));
  syncs.files.clear();
  objects.adopt(second);
  BOOST_REQUIRE(objects.blob("mine").has_value());
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(syncs.files.size() == 3u);  // those of the new pack, one of them the directory's
  BOOST_TEST(objects.is_durable(second));
}

BOOST_AUTO_TEST_CASE(G7_an_adopted_object_that_was_pruned_fails_the_barrier) {
  object_writer objects(repo());
  const oid gone = objects.blob("soon pruned").value();
  const oid adopted = oid::parse(std::string(40, '1')).value();
  objects.adopt(adopted);
  BOOST_TEST(objects.barrier().error().is(errc::corrupt));
  BOOST_TEST(packed(".pack").empty());
  BOOST_TEST((objects.blob("soon pruned").value() == gone));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(repo().exists(gone));
}

BOOST_AUTO_TEST_CASE(F2_a_write_that_the_disk_refuses_is_its_errno_and_leaves_nothing) {
  object_writer objects(repo());
  std::string noise(300'000, '\0');
  std::uint32_t x = 1;
  for (char& c : noise) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{64 << 10, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto refused = objects.blob(noise);
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, ignored);
  BOOST_REQUIRE(refused.has_error());
  BOOST_TEST(refused.error().is_errno(EFBIG), refused.error().what);
  BOOST_REQUIRE(packed(".tmp").size() == 1u);
  BOOST_TEST(fs::file_size(packs() / packed(".tmp").front()) <= 12u);  // nothing of it stays
  const oid id = objects.blob(noise).value();
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST((repo().read_blob(id).value() == noise));
  files.git("fsck --strict");
}

BOOST_AUTO_TEST_CASE(F2_a_pack_whose_index_does_not_fit_is_not_published_and_made_anew) {
  object_writer objects(repo());
  const oid id = objects.blob("small").value();
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto refused = objects.barrier();
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, ignored);
  BOOST_REQUIRE(refused.has_error());
  BOOST_TEST(refused.error().is_errno(EFBIG), refused.error().what);
  BOOST_TEST(packed("").empty());
  BOOST_TEST((objects.blob("small").value() == id));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("cat-file -p " + id.hex()) == "small");
}

BOOST_AUTO_TEST_CASE(W13_a_large_file_is_streamed_and_equals_gits_own_blob) {
  std::string big(9 << 20, '\0');
  for (std::size_t i = 0; i < big.size(); i += 4096) big[i] = static_cast<char>(i >> 12);
  files.write("big", big);
  object_writer objects(repo());
  const auto fd = open_file(files.path() / "big", O_RDONLY).value();
  const oid id = objects.blob_from(fd.get(), big.size()).value();
  BOOST_TEST(files.git("hash-object --no-filters big") == id.hex());
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(objects.is_durable(id));
  BOOST_TEST((repo().read_blob(id).value() == big));
}

BOOST_AUTO_TEST_CASE(W12_a_file_that_became_shorter_has_vanished_and_a_longer_one_is_cut) {
  object_writer objects(repo());
  files.write("small", "12345");
  const auto small = open_file(files.path() / "small", O_RDONLY).value();
  BOOST_TEST(objects.blob_from(small.get(), 6).error().is(errc::vanished));
  BOOST_TEST((repo().read_blob(objects.blob_from(small.get(), 3).value()).value() == "123"));
  files.write("big", std::string(5 << 20, 'b'));
  const auto big = open_file(files.path() / "big", O_RDONLY).value();
  BOOST_TEST(objects.blob_from(big.get(), 6 << 20).error().is(errc::vanished));
  const oid whole = objects.blob_from(big.get(), 5 << 20).value();
  BOOST_TEST((objects.blob_from(big.get(), 5 << 20).value() == whole));
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(files.git("hash-object --no-filters big") == whole.hex());
  files.git("fsck --strict");
}

BOOST_AUTO_TEST_CASE(F1_a_large_file_that_somebodys_git_has_already_is_written_too) {
  files.write("big", std::string(5 << 20, 'b'));
  files.git("add big");
  object_writer objects(repo());
  const auto fd = open_file(files.path() / "big", O_RDONLY).value();
  const oid id = objects.blob_from(fd.get(), 5 << 20).value();
  BOOST_REQUIRE(objects.barrier().has_value());
  BOOST_TEST(packed(".pack").size() == 1u);
  BOOST_TEST(objects.is_durable(id));
}

BOOST_AUTO_TEST_CASE(the_whole_database_is_made_durable_by_one_call) {
  watched_sync syncs;
  BOOST_REQUIRE(sync_object_database(repo()).has_value());
  BOOST_TEST(syncs.file_systems.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

#include "git/new_pack.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <map>
#include <remora/git/object_writer.hpp>
#include <repo.hpp>

#include "git/handles.hpp"
#include "git/pack_format.hpp"
#include "noise.hpp"

using namespace remora;
using namespace remora::git;
using remora::test::noise;
using remora::test::read_bytes;
using remora::test::test_repo;
namespace fs = std::filesystem;

namespace {

struct pack_fixture {
  test_repo files;
  fs::path packs = files.path() / ".git/objects/pack";

  oid id_of(std::string_view bytes, const char* type = "blob") const {
    files.write("of-which-the-id-is-wanted", bytes);
    const std::string options = std::string("hash-object --literally --no-filters -t ") + type;
    return oid::parse(files.git(options + " of-which-the-id-is-wanted")).value();
  }
  std::string only(std::string_view ending) const {
    std::string found;
    for (const auto& entry : fs::directory_iterator(packs))
      if (entry.path().extension() == ending) {
        BOOST_TEST(found.empty());
        found = entry.path();
      }
    return found;
  }
  std::string all_objects() const {
    return files.git(
        "cat-file --batch-all-objects --batch-check='%(objectname) %(objecttype) %(objectsize)'");
  }
};

std::string deflated(const std::string& bytes) {
  std::string stream;
  deflater().add(bytes, true, stream);
  return stream;
}

struct inflated {
  std::string bytes;
  std::uint64_t used = 0;
  bool whole = false;
};

/// With pieces and rooms of these sizes; `said`: the size that the object is to have.
inflated inflate(std::string_view stream, std::size_t said, std::size_t piece, std::size_t room) {
  inflater i(said);
  inflated made;
  std::string into(room, '\0');
  for (; i.wants_more() && !stream.empty(); stream.remove_prefix(std::min(piece, stream.size()))) {
    i.add(stream.substr(0, piece));
    while (const std::size_t n = i.take(into)) made.bytes.append(into, 0, n);
  }
  made.used = i.used();
  made.whole = i.is_whole();
  return made;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(new_packs, pack_fixture)

BOOST_AUTO_TEST_CASE(plain_git_finds_in_it_what_was_written_of_every_type_and_size) {
  std::map<std::string, std::string> wanted;  // as `cat-file` prints them
  auto pack = new_pack::begin(packs).value();
  const auto add = [&](const char* name, git_object_t type, const std::string& bytes) {
    const oid id = id_of(bytes, name);
    BOOST_REQUIRE(pack.add(id, type, bytes).has_value());
    wanted[id.hex()] = std::string(" ") + name + " " + std::to_string(bytes.size());
    return id;
  };
  for (const std::size_t size : {0u, 1u, 15u, 16u, 2047u, 2048u, 262'143u, 262'144u, 5'000'000u})
    add("blob", GIT_OBJECT_BLOB, noise(size, static_cast<std::uint32_t>(size)));
  const oid tree = add("tree", GIT_OBJECT_TREE, "");
  const std::string who = " A <a@b> 1700000000 +0000\n";
  const oid commit =
      add("commit", GIT_OBJECT_COMMIT,
          "tree " + tree.hex() + "\nauthor" + who + "committer" + who + "\nsubject\n");
  add("tag", GIT_OBJECT_TAG,
      "object " + commit.hex() + "\ntype commit\ntag t\ntagger" + who + "\nsubject\n");
  BOOST_REQUIRE(pack.publish().has_value());

  std::string listed;
  for (const auto& [id, rest] : wanted) listed += (listed.empty() ? "" : "\n") + id + rest;
  BOOST_TEST(all_objects() == listed);
  files.git("fsck --strict --full");
  files.git("verify-pack '" + only(".idx") + "'");
  BOOST_TEST(read_bytes(only(".keep")) == "remora\n");
}

BOOST_AUTO_TEST_CASE(its_index_is_byte_for_byte_that_of_git) {
  auto pack = new_pack::begin(packs).value();
  for (int i = 0; i < 1000; ++i) {
    const std::string bytes = std::to_string(i);
    git_oid id;
    git_odb_hash(&id, bytes.data(), bytes.size(), GIT_OBJECT_BLOB);
    BOOST_REQUIRE(pack.add(from_git(id), GIT_OBJECT_BLOB, bytes).has_value());
  }
  BOOST_REQUIRE(pack.publish().has_value());
  files.git("index-pack -o ours.idx '" + only(".pack") + "'");
  BOOST_TEST(files.read("ours.idx") == read_bytes(only(".idx")));
  const auto named = read_pack_index(only(".idx")).value().objects;
  BOOST_TEST(named.size() == 1000u);
  BOOST_TEST(named.front().offset == 12u);
}

BOOST_AUTO_TEST_CASE(an_object_that_is_added_twice_is_there_once) {
  auto pack = new_pack::begin(packs).value();
  const oid id = id_of("x");
  for (int i = 0; i < 2; ++i) BOOST_REQUIRE(pack.add(id, GIT_OBJECT_BLOB, "x").has_value());
  BOOST_REQUIRE(pack.publish().has_value());
  BOOST_TEST(all_objects() == id.hex() + " blob 1");
  files.git("verify-pack '" + only(".idx") + "'");
}

BOOST_AUTO_TEST_CASE(offsets_beyond_31_bits_are_in_the_table_of_large_ones) {
  const std::uint64_t far = (std::uint64_t{1} << 32) + 12;
  const std::uint64_t edge = std::uint64_t{1} << 31;
  const std::vector<packed_object> objects{
      {id_of("c"), far, 3}, {id_of("a"), 12, 1}, {id_of("b"), edge, 2}, {id_of("d"), edge - 1, 4}};
  files.write("far.idx", pack_index(objects, id_of("trailer")));
  const auto [read, trailer] = read_pack_index(files.path() / "far.idx").value();
  BOOST_TEST((trailer == id_of("trailer")));
  BOOST_REQUIRE(read.size() == 4u);
  BOOST_TEST(read[0].offset == 12u);
  BOOST_TEST(read[1].offset == edge - 1);
  BOOST_TEST(read[2].offset == edge);
  BOOST_TEST(read[3].offset == far);
  BOOST_TEST((read[3].id == id_of("c")));
  BOOST_TEST(read[3].crc == 3u);
  const std::string shown = files.git("show-index < far.idx");
  BOOST_TEST(shown.find(std::to_string(far) + " " + id_of("c").hex()) != shown.npos);
}

BOOST_AUTO_TEST_CASE(G13_an_index_with_any_byte_changed_or_cut_is_damaged) {
  const std::string sound = pack_index({{id_of("a"), 12, 1}, {id_of("b"), 40, 2}}, id_of("t"));
  const auto try_bytes = [&](std::string_view bytes) {
    files.write("some.idx", bytes);
    return read_pack_index(files.path() / "some.idx");
  };
  BOOST_REQUIRE(try_bytes(sound).has_value());
  for (std::size_t i = 0; i < sound.size(); i += i < 1032 ? 43 : 1) {
    std::string changed = sound;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    BOOST_TEST(try_bytes(changed).error().is(errc::corrupt), i);
    BOOST_TEST(try_bytes(std::string_view(sound).substr(0, i)).error().is(errc::corrupt), i);
  }
}

BOOST_AUTO_TEST_CASE(an_object_is_inflated_however_its_stream_is_cut) {
  for (const std::string& bytes : {std::string(), std::string(300, 'x'), noise(300, 1)}) {
    const std::string stream = deflated(bytes);
    for (const std::size_t piece : {1U, 2U, 7U, 1000U})
      for (const std::size_t room : {1U, 2U, 7U, 1000U}) {
        const inflated sound = inflate(stream + "what follows it", bytes.size(), piece, room);
        BOOST_TEST(sound.whole);
        BOOST_TEST(sound.bytes == bytes);
        BOOST_TEST(sound.used == stream.size());
        BOOST_TEST(!inflate(stream.substr(0, stream.size() - 1), bytes.size(), piece, room).whole);
        BOOST_TEST(!inflate(stream, bytes.size() + 1, piece, room).whole);
        if (!bytes.empty()) BOOST_TEST(!inflate(stream, bytes.size() - 1, piece, room).whole);
      }
  }
}

BOOST_AUTO_TEST_CASE(W13_a_large_file_is_taken_in_constant_memory) {
  const std::uint64_t size = 200 << 20;
  const auto sparse = open_file(files.path() / "sparse", O_RDWR | O_CREAT).value();
  BOOST_REQUIRE(::ftruncate(sparse.get(), static_cast<off_t>(size)) == 0);
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  auto pack = new_pack::begin(packs).value();
  const oid id = pack.add_file(sparse.get(), size, [](const oid&) { return true; }).value();
  BOOST_REQUIRE(pack.publish().has_value());
  ::getrusage(RUSAGE_SELF, &after);
  BOOST_TEST(after.ru_maxrss - before.ru_maxrss < 16 << 10);  // KiB
  BOOST_TEST(all_objects() == id.hex() + " blob " + std::to_string(size));
  BOOST_TEST(files.git("hash-object --no-filters sparse") == id.hex());
}

BOOST_AUTO_TEST_CASE(W12_a_file_that_is_not_kept_leaves_the_pack_as_it_was) {
  files.write("big", noise(1 << 20, 7));
  const auto fd = open_file(files.path() / "big", O_RDONLY).value();
  auto pack = new_pack::begin(packs).value();
  BOOST_REQUIRE(pack.add(id_of("a"), GIT_OBJECT_BLOB, "a").has_value());
  const auto yes = [](const oid&) { return true; };
  const auto no = [](const oid&) { return false; };
  BOOST_TEST(pack.add_file(fd.get(), 2 << 20, yes).error().is(errc::vanished));
  BOOST_TEST(pack.add_file(fd.get(), 1 << 20, no).has_value());
  BOOST_TEST(fs::file_size(only(".tmp")) < 100u);
  BOOST_REQUIRE(pack.add(id_of("b"), GIT_OBJECT_BLOB, "b").has_value());
  const oid empty = pack.add_file(fd.get(), 0, yes).value();
  BOOST_TEST((empty == id_of("")));
  BOOST_TEST(pack.size() == 3u);
  BOOST_REQUIRE(pack.publish().has_value());
  files.git("verify-pack '" + only(".idx") + "'");
}

BOOST_AUTO_TEST_CASE(what_is_in_the_making_can_be_read_and_damage_is_noticed) {
  auto pack = new_pack::begin(packs).value();
  std::string into;
  for (const std::string& bytes : {std::string(), std::string("x"), noise(3 << 20, 1)}) {
    const oid id = id_of(bytes);
    BOOST_REQUIRE(pack.add(id, GIT_OBJECT_BLOB, bytes).has_value());
    into.assign(bytes.size() + 1, '?');
    BOOST_REQUIRE(pack.read(*pack.find(id), into.data()).has_value());
    BOOST_TEST((into.substr(0, bytes.size()) == bytes));
  }
  BOOST_TEST(pack.find(id_of("y")) == nullptr);
  const new_pack::object last = *pack.find(id_of(noise(3 << 20, 1)));
  fs::permissions(only(".tmp"), fs::perms::owner_write, fs::perm_options::add);
  fs::resize_file(only(".tmp"), last.offset + last.packed / 2);
  BOOST_TEST(pack.read(last, into.data()).error().is(errc::corrupt));
}

BOOST_AUTO_TEST_CASE(entries_of_another_pack_are_taken_as_they_are) {
  for (int i = 0; i < 20; ++i)
    files.write("f" + std::to_string(i), noise(3000, 1) + std::to_string(i));
  files.commit("one");
  const std::string all = all_objects();
  auto first = new_pack::begin(packs).value();
  auto second = new_pack::begin(packs).value();
  auto repo = repository::discover(files.path()).value();
  for (int i = 0; i < 20; ++i) {
    const oid id = files.id("HEAD:f" + std::to_string(i));
    BOOST_REQUIRE(first.add(id, GIT_OBJECT_BLOB, repo.read_blob(id).value()).has_value());
  }
  BOOST_REQUIRE(first.publish().has_value());
  const auto from = open_file(only(".pack"), O_RDONLY).value();
  const auto named = read_pack_index(only(".idx")).value().objects;
  const std::uint64_t end = fs::file_size(only(".pack")) - 20;
  for (std::size_t i = 0; i < named.size(); ++i) {
    const std::uint64_t next = i + 1 < named.size() ? named[i + 1].offset : end;
    const auto& o = named[i];
    BOOST_TEST(second.copy(o.id, from.get(), o.offset, next - o.offset, o.crc ^ 1)
                   .error()
                   .is(errc::corrupt));
    BOOST_REQUIRE(second.copy(o.id, from.get(), o.offset, next - o.offset, o.crc).has_value());
  }
  const std::string pack = only(".pack"), index = only(".idx"), keep = only(".keep");
  fs::remove(index);
  fs::remove(pack);
  fs::remove(keep);
  BOOST_REQUIRE(second.publish().has_value());
  files.git("verify-pack '" + only(".idx") + "'");
  files.git("prune-packed");
  BOOST_TEST(all_objects() == all);
}

BOOST_AUTO_TEST_CASE(a_pack_of_somebody_elses_with_deltas_is_not_taken_apart) {
  for (int i = 0; i < 5; ++i) {
    files.write("f", noise(20'000, 1) + std::to_string(i));
    files.commit("one");
  }
  files.git("repack -a -d -q -f");
  const auto from = open_file(only(".pack"), O_RDONLY).value();
  const auto named = read_pack_index(only(".idx")).value().objects;
  auto pack = new_pack::begin(packs).value();
  bool refused = false;
  for (std::size_t i = 0; i + 1 < named.size(); ++i) {
    const auto copied = pack.copy(named[i].id, from.get(), named[i].offset,
                                  named[i + 1].offset - named[i].offset, named[i].crc);
    refused = refused || (!copied && copied.error().is(errc::corrupt));
  }
  BOOST_TEST(refused);
}

BOOST_AUTO_TEST_SUITE_END()

// The mind: what goes in comes out, and a transcript only grows.
#include <boost/json.hpp>

#include "fixture.hpp"

using namespace remora;
using namespace remora::test;
using checkpoint::transcript_piece;

namespace {

struct minded : fixture {
  std::string listing(const checkpoint::record& r, const std::string& below) const {
    return repo_dir.git("ls-tree -r --name-only " + r.commit.hex() + " " + below);
  }
};

transcript_piece piece(std::uint32_t attempt, std::string out, std::string err = "",
                       std::string times = "") {
  return {attempt_no(attempt), std::move(out), std::move(err), std::move(times)};
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(mind, minded)

BOOST_AUTO_TEST_CASE(the_whole_mind_is_read_back) {
  auto r = request(1, {{"a.txt", "two\n"}});
  r.mind.result = std::string("\0answer", 7);
  r.mind.transcript = {piece(1, "o1", "e1", "12 2\n"), piece(1, "o2"), piece(2, "", "e2")};
  const auto saved = save(r);
  const auto m = store->read_mind(saved).value();
  BOOST_TEST(m.state == r.mind.state);
  BOOST_TEST(m.prompt == r.mind.prompt);
  BOOST_TEST((m.result == r.mind.result));
  BOOST_REQUIRE(m.transcript.size() == 3u);
  BOOST_TEST(m.transcript[0].err == "e1");
  BOOST_TEST(m.transcript[0].times == "12 2\n");
  BOOST_TEST(m.transcript[1].out == "o2");
  BOOST_TEST((m.transcript[2].attempt == attempt_no(2)));
  BOOST_TEST(m.transcript[2].err == "e2");
  BOOST_TEST(store->read_state(saved).value() == r.mind.state);
}

BOOST_AUTO_TEST_CASE(the_tree_is_as_documented) {
  auto r = request(1, {{"a.txt", "two\n"}});
  r.mind.result = "done";
  r.mind.transcript = {piece(1, "o", "e", "0 1\n")};
  r.files.operation = {{"MERGE_MSG", "x"}, {"rebase-merge/done", "y"}};
  BOOST_TEST(listing(save(r), ".") ==
             "gitdir/MERGE_MSG\ngitdir/rebase-merge/done\nindex.json\nmanifest.json\nprompt.md\n"
             "result\nstate.json\ntranscript/1/err/00/00\ntranscript/1/out/00/00\n"
             "transcript/1/times/00/00");
}

BOOST_AUTO_TEST_CASE(a_transcript_only_grows_and_reuses_what_is_there) {
  auto last = save([&] {
    auto r = request(1, {{"a.txt", "0\n"}});
    for (int k = 0; k < 205; ++k)
      r.mind.transcript.push_back(piece(1, "<" + std::to_string(k) + ">"));
    return r;
  }());
  const std::string full = repo_dir.git("rev-parse " + last.commit.hex() + ":transcript/1/out/00");
  auto r = request(2, {{"a.txt", "0\n"}}, last.commit);
  r.mind.transcript = {piece(1, "<205>"), piece(2, "x")};
  const auto next = save(r);
  BOOST_TEST(repo_dir.git("rev-parse " + next.commit.hex() + ":transcript/1/out/00") == full);
  BOOST_TEST(repo_dir.git("show " + next.commit.hex() + ":transcript/1/out/02/05") == "<205>");
  std::string expected;
  for (int k = 0; k <= 205; ++k) expected += "<" + std::to_string(k) + ">";
  BOOST_TEST(store->read_transcript(next, attempt_no(1), "out").value() == expected);
  BOOST_TEST(store->read_transcript(next, attempt_no(2), "out").value() == "x");
  // The older record still tells what it told.
  BOOST_TEST(store->read_transcript(last, attempt_no(2), "out").value() == "");
}

BOOST_AUTO_TEST_CASE(ten_thousand_pieces_stay_in_order) {
  // Made by hand: 99/99 is the last of two digits, and git sorts 100 before it.
  const auto piece_tree = [&](const std::string& name, const std::string& bytes) {
    return tree_of({{name, bytes}});
  };
  const auto dir = [](std::string name, const git::oid& id) {
    return git::tree_entry{std::move(name), id, git::mode::directory};
  };
  auto first = save(request(1, {{"a.txt", "0\n"}}));
  const git::oid out =
      objects
          ->tree({dir("100", piece_tree("00", "second ")), dir("99", piece_tree("99", "first "))})
          .value();
  const git::oid attempts =
      objects->tree({dir("1", objects->tree({dir("out", out)}).value())}).value();
  std::vector<git::tree_entry> mind = repo->read_tree(first.mind).value();
  mind.push_back(dir("transcript", attempts));
  first.mind = objects->tree(std::move(mind)).value();
  const git::oid parents[] = {first.files};
  const git::oid record =
      objects
          ->commit(first.mind, parents, git::remora_signature(1), checkpoint::record_message(first))
          .value();
  auto r = request(2, {{"a.txt", "0\n"}}, record);
  r.mind.transcript = {piece(1, "third")};
  const auto next = store->prepare(r).value().what;
  BOOST_TEST(store->read_transcript(next, attempt_no(1), "out").value() == "first second third");
  BOOST_TEST(repo_dir.git("show " + next.commit.hex() + ":transcript/1/out/100/01") == "third");
}

BOOST_AUTO_TEST_CASE(a_stream_that_was_silent_keeps_its_place) {
  auto r = request(1, {{"a.txt", "0\n"}});
  r.mind.transcript = {piece(1, "o0"), piece(1, "", "e1"), piece(1, "", ""), piece(1, "o2", "e2")};
  const auto first = save(r);
  BOOST_TEST(listing(first, "transcript/") ==
             "transcript/1/err/00/01\ntranscript/1/err/00/02\ntranscript/1/out/00/00\n"
             "transcript/1/out/00/02");
  auto s = request(2, {{"a.txt", "0\n"}}, first.commit);
  s.mind.transcript = {piece(1, "", "e3")};
  BOOST_TEST(store->read_transcript(save(s), attempt_no(1), "err").value() == "e1e2e3");
}

BOOST_AUTO_TEST_CASE(a_stream_has_one_of_three_names) {
  const auto saved = save(request(1, {{"a.txt", "0\n"}}));
  for (const char* stream : {"out", "err", "times"})
    BOOST_TEST(store->read_transcript(saved, attempt_no(1), stream).value() == "");
  BOOST_TEST(store->read_transcript(saved, attempt_no(1), "../..").error().is(errc::usage));
}

BOOST_AUTO_TEST_CASE(a_snapshot_is_read_back) {
  const git::oid staged = objects->blob("staged\n").value();
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.manifest.left_out = {{"pipe", "fifo"}};
  r.files.manifest.empty_directories = {"empty"};
  r.files.manifest.head_torn = true;
  r.files.index.entries = {{.path = "dir/b.sh", .mode = git::mode::executable, .id = staged},
                           {.path = "c.txt", .stage = 2, .mode = git::mode::file, .id = staged}};
  r.files.index.removed = {"gone.txt"};
  r.files.operation = {{"MERGE_MSG", "bytes\xFF"}, {"rebase-merge/done", "pick\n"}};
  const auto s = store->read_snapshot(save(r)).value();
  BOOST_TEST((s.tree == r.files.tree));
  BOOST_TEST((s.head == r.files.head));
  BOOST_TEST((s.manifest.left_out == r.files.manifest.left_out));
  BOOST_TEST((s.manifest.empty_directories == r.files.manifest.empty_directories));
  BOOST_TEST(s.manifest.head_torn);
  BOOST_TEST((s.index.entries == r.files.index.entries));
  BOOST_TEST((s.index.removed == r.files.index.removed));
  BOOST_TEST((s.operation == r.files.operation));
}

BOOST_AUTO_TEST_CASE(staged_content_is_reachable_under_its_stage_and_mode) {
  const git::oid staged = objects->blob("staged\n").value();
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.index.entries = {
      {.path = "dir/b.sh", .mode = git::mode::executable, .id = staged},
      {.path = "c", .stage = 3, .mode = git::mode::symlink, .id = staged},
      {.path = "module", .mode = git::mode::commit, .id = base},
      {.path = "later", .mode = git::mode::file, .id = staged, .intent_to_add = true}};
  const auto saved = save(r);
  BOOST_TEST(repo_dir.git("ls-tree -r " + saved.commit.hex() + " index/") ==
             "100755 blob " + staged.hex() + "\tindex/0/dir/b.sh\n120000 blob " + staged.hex() +
                 "\tindex/3/c");
  BOOST_TEST((store->read_snapshot(saved).value().index.entries == r.files.index.entries));
}

BOOST_AUTO_TEST_CASE(C4_staged_paths_that_no_tree_can_hold_are_kept_by_id) {
  std::vector<git::index_entry> entries;
  const std::vector<std::string> paths{"../up",   "a//b",    ".git/config",
                                       "GIT~1/x", "/abs",    "ok/.GIT",
                                       "f",       "f/below", std::string(5000, 'x')};
  int k = 0;
  for (const std::string& path : paths)
    entries.push_back(
        {.path = path, .mode = git::mode::file, .id = objects->blob(std::to_string(k++)).value()});
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.index.entries = entries;
  r.files.operation = {{"rebase-merge/.git", "x"}, {"../escape", "y"}, {"MERGE_MSG", "m"}};
  const auto saved = save(r);
  BOOST_TEST(repo_dir.git("fsck --strict --no-dangling") == "");
  const std::string kept = listing(saved, "index/");
  for (const git::index_entry& e : entries)
    if (e.path != "f") BOOST_TEST(kept.find("index/by-id/" + e.id.hex()) != kept.npos, e.path);
  BOOST_TEST(kept.find("index/0/f") != kept.npos);
  const auto s = store->read_snapshot(saved).value();
  BOOST_TEST((s.index.entries == entries));
  BOOST_TEST(s.operation.size() == 1u);
  BOOST_TEST(s.manifest.left_out.size() == 2u);
}

BOOST_AUTO_TEST_CASE(C4_a_staged_path_of_no_bytes_does_not_cost_the_others) {
  auto r = request(1, {{"a.txt", "two\n"}});
  const git::oid blob = objects->blob("x").value();
  r.files.index.entries = {{.path = "", .mode = git::mode::file, .id = blob},
                           {.path = "b", .mode = git::mode::file, .id = blob}};
  const auto s = store->read_snapshot(save(r)).value();
  BOOST_REQUIRE(s.index.entries.size() == 1u);
  BOOST_TEST(s.index.entries.front().path == "b");
}

BOOST_AUTO_TEST_CASE(C18_staging_what_is_no_blob_costs_only_that_entry) {
  const git::oid nowhere = git::oid::parse(std::string(40, 'e')).value();
  auto r = request(1, {{"a.txt", "two\n"}});
  const git::index_entry sound{
      .path = "sound", .mode = git::mode::file, .id = objects->blob("x").value()};
  r.files.index.entries = {{.path = "lost", .mode = git::mode::file, .id = nowhere},
                           {.path = "tree", .mode = git::mode::file, .id = r.files.tree},
                           {.path = "commit", .mode = git::mode::symlink, .id = base},
                           sound};
  const auto first = save(r);
  auto again = request(2, {{"a.txt", "three\n"}}, first.commit);
  again.files.index = r.files.index;
  const auto saved = save(again);
  const auto s = store->read_snapshot(saved).value();
  BOOST_TEST((s.index.entries == std::vector{sound}));
  BOOST_TEST(s.index.note.find("3 staged") != std::string::npos);
  BOOST_TEST(repo_dir.git("show " + saved.commit.hex() + ":index.json").find(nowhere.hex()) !=
             std::string::npos);
  BOOST_TEST(repo_dir.git("fsck --strict --no-dangling") == "");
}

BOOST_AUTO_TEST_CASE(G13_damage_is_named_with_object_and_path) {
  auto r = request(1, {{"a.txt", "two\n"}});
  r.mind.transcript = {piece(1, "out of attempt 1")};
  const auto saved = save(r);
  const git::oid out = repo_dir.id(saved.commit.hex() + ":transcript/1/out/00/00");
  const git::oid manifest = repo_dir.id(saved.commit.hex() + ":manifest.json");
  delete_object(out);
  empty_object(manifest);
  const auto transcript = store->read_transcript(saved, attempt_no(1), "out");
  BOOST_REQUIRE(transcript.has_error());
  BOOST_TEST(failed_with(transcript.error(), errc::corrupt));
  BOOST_TEST(transcript.error().what.find(out.hex()) != std::string::npos);
  BOOST_TEST(transcript.error().what.find("transcript/1/out") != std::string::npos);
  BOOST_TEST(transcript.error().what.find("checkpoint 1 of parser") != std::string::npos);
  const auto snapshot = store->read_snapshot(saved);
  BOOST_REQUIRE(snapshot.has_error());
  BOOST_TEST(failed_with(snapshot.error(), errc::corrupt));
  BOOST_TEST(snapshot.error().what.find("manifest.json") != std::string::npos);
  BOOST_TEST(store->read_mind(saved).error().is(errc::corrupt));
  BOOST_TEST(store->read_state(saved).has_value());
}

BOOST_AUTO_TEST_CASE(X7_a_newer_schema_is_refused_by_its_name) {
  auto saved = save(request(1, {{"a.txt", "two\n"}}));
  const auto with = [&](const std::string& name, const std::string& bytes) {
    std::vector<git::tree_entry> entries = repo->read_tree(saved.mind).value();
    for (git::tree_entry& e : entries)
      if (e.name == name) e.id = objects->blob(bytes).value();
    checkpoint::record changed = saved;
    changed.mind = objects->tree(std::move(entries)).value();
    return store->read_snapshot(changed);
  };
  const auto newer = with("index.json", "{\"schema\":\"remora.index/2\"}");
  BOOST_TEST(failed_with(newer.error(), errc::unsupported));
  BOOST_TEST(newer.error().what.find("remora.index/2") != std::string::npos);
  for (const char* broken : {"", "[]", "{", "{\"schema\":1}", "{\"schema\":\"remora.index/1\"}",
                             "{\"schema\":\"remora.index/1\",\"head\":{\"commit\":\"x\"}}"})
    BOOST_TEST(failed_with(with("index.json", broken).error(), errc::corrupt), broken);
  BOOST_TEST(failed_with(with("manifest.json", "{\"schema\":\"x\"}").error(), errc::unsupported));
}

BOOST_AUTO_TEST_SUITE_END()

#include <boost/test/unit_test.hpp>
#include <remora/checkpoint/record.hpp>

using namespace remora;
using checkpoint::record;

namespace {

git::oid id(char digit) {
  return git::oid::parse(std::string(40, digit)).value();
}

record full() {
  return {.run = run_id::parse("20260102-000000-27ab").value(),
          .task = task_id::parse("parser").value(),
          .attempt = attempt_no(2),
          .number = checkpoint_no(7),
          .reason = "timed out: wall",
          .base = id('a'),
          .head = {id('b'), "refs/heads/remora/20260102-000000-27ab/parser"},
          .files = id('c'),
          .previous = id('d'),
          .keep = {id('b'), id('e')},
          .from = checkpoint_no(3)};
}

/// A record of format 1 as it is in the field: must be readable for ever.
const std::string fixture =
    "remora: checkpoint 7 of parser (timed out: wall)\n"
    "\n"
    "Remora-Run: 20260102-000000-27ab\n"
    "Remora-Task: parser\n"
    "Remora-Attempt: 2\n"
    "Remora-Checkpoint: 7\n"
    "Remora-Reason: timed out: wall\n"
    "Remora-Base: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
    "Remora-Head: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
    "Remora-Head-Ref: refs/heads/remora/20260102-000000-27ab/parser\n"
    "Remora-Files: cccccccccccccccccccccccccccccccccccccccc\n"
    "Remora-Previous: dddddddddddddddddddddddddddddddddddddddd\n"
    "Remora-Keep: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
    "Remora-Keep: eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\n"
    "Remora-From: 3\n"
    "Remora-Format: 1\n";

std::string with(std::string_view from, std::string_view to) {
  std::string m = fixture;
  m.replace(m.find(from), from.size(), to);
  return m;
}

bool fails(const std::string& message, errc code) {
  const auto r = checkpoint::parse_record_message(message);
  return r.has_error() && r.error().is(code);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(message)

BOOST_AUTO_TEST_CASE(X7_the_message_of_format_1_is_written_and_read_as_it_always_was) {
  BOOST_TEST(checkpoint::record_message(full()) == fixture);
  const record r = checkpoint::parse_record_message(fixture).value();
  BOOST_TEST(r.run.str() == "20260102-000000-27ab");
  BOOST_TEST(r.task.str() == "parser");
  BOOST_TEST(r.attempt.value() == 2u);
  BOOST_TEST(r.number.value() == 7u);
  BOOST_TEST(r.reason == "timed out: wall");
  BOOST_TEST((r.head == full().head));
  BOOST_TEST((r.base == id('a') && r.files == id('c') && r.previous == id('d')));
  BOOST_TEST((r.keep == full().keep));
  BOOST_TEST((r.from == checkpoint_no(3)));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_has_no_trailer) {
  record r = full();
  r.head = {};
  r.previous.reset();
  r.keep.clear();
  r.from.reset();
  const std::string m = checkpoint::record_message(r);
  for (const char* key : {"Head", "Head-Ref", "Previous", "Keep", "From"})
    BOOST_TEST(m.find(std::string("Remora-") + key + ":") == m.npos, key);
  const record again = checkpoint::parse_record_message(m).value();
  BOOST_TEST((again.head == git::head_state()));
  BOOST_TEST((!again.previous && again.keep.empty() && !again.from));
}

BOOST_AUTO_TEST_CASE(the_files_commit_names_no_record) {
  const std::string m = checkpoint::files_message(full());
  BOOST_TEST(m.starts_with("remora: checkpoint 7 of parser (timed out: wall)\n\n"));
  BOOST_TEST(m.ends_with("Remora-Format: 1\n"));
  for (const char* key : {"Files", "Previous", "Keep", "From"})
    BOOST_TEST(m.find(std::string("Remora-") + key + ":") == m.npos, key);
  BOOST_TEST(fails(m, errc::foreign));
  BOOST_TEST(checkpoint::parse_files_message(m).value().task.str() == "parser");
}

BOOST_AUTO_TEST_CASE(C18_a_reason_cannot_forge_a_trailer) {
  record r = full();
  r.reason = "x\n\nRemora-Run: 20260102-000000-aaaa\r\nRemora-Format: 9\n";
  r.head.ref = "refs/heads/a\nRemora-Keep: " + id('f').hex();
  const record again = checkpoint::parse_record_message(checkpoint::record_message(r)).value();
  BOOST_TEST(again.run.str() == r.run.str());
  BOOST_TEST((again.keep == r.keep));
  BOOST_TEST(again.reason.find('\n') == std::string::npos);
  // What was read is written the same: a record can be copied.
  BOOST_TEST(checkpoint::record_message(again) == checkpoint::record_message(r));
}

BOOST_AUTO_TEST_CASE(C13_a_value_cannot_move_a_cursor_or_break_utf8) {
  record r = full();
  r.reason = "a\x1b[2Jb\u202E\xFF" + std::string(5000, 'z');
  const std::string m = checkpoint::record_message(r);
  BOOST_TEST(m.find('\x1b') == m.npos);
  BOOST_TEST(m.find("\u202E") == m.npos);
  BOOST_TEST(m.find('\xFF') == m.npos);
  BOOST_TEST(m.size() < 4000u);
  BOOST_TEST(checkpoint::parse_record_message(m).has_value());
}

BOOST_AUTO_TEST_CASE(only_the_last_paragraph_is_read) {
  const std::string m = "Remora-Task: other\n\nRemora-Attempt: 99\n\n" + fixture;
  BOOST_TEST(checkpoint::parse_record_message(m).value().attempt.value() == 2u);
  BOOST_TEST(fails(fixture + "\nSigned-off-by: somebody\n", errc::foreign));
  BOOST_TEST(checkpoint::parse_record_message(fixture + "Signed-off-by: x\n").has_value());
}

BOOST_AUTO_TEST_CASE(X7_a_newer_format_is_refused_by_its_number) {
  const auto r = checkpoint::parse_record_message(with("Format: 1", "Format: 12"));
  BOOST_REQUIRE(r.has_error());
  BOOST_TEST(r.error().is(errc::unsupported));
  BOOST_TEST(r.error().what.find("format 12") != std::string::npos);
  // Whatever else it says: a newer format may have dropped a trailer.
  BOOST_TEST(fails("s\n\nRemora-Format: 2\n", errc::unsupported));
}

BOOST_AUTO_TEST_CASE(what_is_not_ours_is_foreign_and_what_is_broken_is_corrupt) {
  for (const char* foreign : {"", "\n", "\n\n", "Fix the parser\n", "Fix\n\nRemora-Run: x\n"})
    BOOST_TEST(fails(foreign, errc::foreign), foreign);
  BOOST_TEST(fails(with("Remora-Task: parser\n", ""), errc::corrupt));
  BOOST_TEST(fails(with("Remora-Task: parser", "Remora-Task: ../x"), errc::corrupt));
  BOOST_TEST(fails(with("20260102-000000-27ab\n", "yesterday\n"), errc::corrupt));
  BOOST_TEST(fails(with("Attempt: 2", "Attempt: 2x"), errc::corrupt));
  BOOST_TEST(fails(with("Attempt: 2", "Attempt: -2"), errc::corrupt));
  BOOST_TEST(fails(with("Attempt: 2", "Attempt: 4294967296"), errc::corrupt));
  BOOST_TEST(fails(with("Base: aaaa", "Base: aaa"), errc::corrupt));
  BOOST_TEST(fails(with(id('c').hex(), std::string(40, '0')), errc::corrupt));
  BOOST_TEST(fails(with("Files: c", "Files: g"), errc::corrupt));
  BOOST_TEST(fails(with("Format: 1", "Format: one"), errc::corrupt));
  BOOST_TEST(fails(with("Format: 1", "Format: 0"), errc::corrupt));
  BOOST_TEST(fails(with("Remora-Run", "Remora-Task: x\nRemora-Run"), errc::corrupt));
}

BOOST_AUTO_TEST_CASE(G5_refs_of_one_run_and_task_never_clash) {
  const record r = full();
  BOOST_TEST(checkpoint::wip_ref(r.run, r.task) == "refs/remora/wip/20260102-000000-27ab/parser");
  BOOST_TEST(checkpoint::wip_branch(r.run, r.task) ==
             "refs/heads/remora-wip/20260102-000000-27ab/parser");
  BOOST_TEST(checkpoint::task_branch(r.run, r.task) ==
             "refs/heads/remora/20260102-000000-27ab/parser");
  BOOST_TEST(checkpoint::run_ref(r.run) == "refs/remora/runs/20260102-000000-27ab");
}

BOOST_AUTO_TEST_SUITE_END()

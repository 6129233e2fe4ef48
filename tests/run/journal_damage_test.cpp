// X3, exhaustively: whatever happens to the bytes of a small journal, what is read is exactly a
// prefix of it that holds all that was known to be durable, or it is refused with the line.
#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <remora/run/journal.hpp>
#include <vector>

#include "repo.hpp"

using namespace remora;

namespace {

/// Six records; each says that all before it but the last one were synced.
struct small_journal {
  std::vector<std::string> lines;
  std::vector<run::record> records;

  small_journal() {
    add("run_started", {{"schema", run::run_schema}, {"run", "20260102-000000-27ab"}});
    add("task_started", {{"task", "a"}, {"base", std::string(40, '1')}});
    add("checkpoint_prepared", {{"task", "a"}, {"checkpoint", 1}, {"reason", "turn"}});
    add("checkpoint_saved", {{"task", "a"}, {"checkpoint", 1}, {"reason", "turn \"quoted\"\n"}});
    add("attempt_ended", {{"task", "a"}, {"attempt", 1}, {"text", "caf\xc3\xa9"}});
    add("run_ended", {{"exit", 0}});
  }
  void add(const char* type, boost::json::object payload) {
    const run::sequence seq = records.size() + 1;
    records.push_back({seq, "2026-01-02T00:00:00.000Z", type, std::move(payload)});
    lines.push_back(run::journal_line(records.back(), 1, "boot", seq < 2 ? 0 : seq - 2));
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines) all += line;
    return all;
  }
};

bool same(const run::record& a, const run::record& b) {
  return a.seq == b.seq && a.t == b.t && a.type == b.type && a.payload == b.payload;
}

/// `intact`: how many of the first lines are whole. What is read must be a prefix; it must not end
/// before something that a whole line behind it says was durable.
void check(const small_journal& j, const std::string& bytes, std::size_t intact) {
  const auto read = run::parse_journal(bytes, "j");
  if (!read) {
    BOOST_REQUIRE(read.error().is(errc::corrupt));
    const std::string where = "j:" + std::to_string(intact + 1) + ": ";
    BOOST_REQUIRE_MESSAGE(read.error().what.starts_with(where), read.error().what);
    return;
  }
  BOOST_REQUIRE(read->records.size() >= intact);
  for (std::size_t i = 0; i < read->records.size(); ++i)
    BOOST_REQUIRE(same(read->records[i], j.records[i]));
  BOOST_REQUIRE(bytes.compare(0, read->valid_bytes, j.text(), 0, read->valid_bytes) == 0);
  BOOST_REQUIRE(read->valid_bytes + read->dropped_bytes == bytes.size());
}

/// The lines of `bytes` that are whole, wherever they are, and what they say was durable.
run::sequence known_durable(const small_journal& j, const std::vector<bool>& whole) {
  run::sequence known = 0;
  for (std::size_t i = 0; i < j.lines.size(); ++i)
    if (whole[i]) known = i < 1 ? 0 : i - 1;
  return known;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(journal_damage)

BOOST_AUTO_TEST_CASE(X3_every_bit_of_every_byte_flipped) {
  const small_journal j;
  const std::string text = j.text();
  std::size_t line = 0, line_end = j.lines[0].size();
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at == line_end) line_end += j.lines[++line].size();
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      check(j, damaged, line);
      // A line without its end takes the next one with it.
      std::vector<bool> whole(j.lines.size(), true);
      whole[line] = false;
      if (text[at] == '\n' && line + 1 < whole.size()) whole[line + 1] = false;
      const bool must_refuse = known_durable(j, whole) > line;
      BOOST_REQUIRE(run::parse_journal(damaged, "j").has_error() == must_refuse);
    }
  }
}

BOOST_AUTO_TEST_CASE(X3_cut_at_every_length) {
  const small_journal j;
  const std::string text = j.text();
  std::size_t line = 0, begin = 0;
  for (std::size_t size = 0; size <= text.size(); ++size) {
    if (line < j.lines.size() && size == begin + j.lines[line].size())
      begin += j.lines[line++].size();
    const auto read = run::parse_journal(std::string_view(text).substr(0, size), "j");
    BOOST_REQUIRE(read.has_value());  // nothing behind it can say that more was there
    BOOST_REQUIRE(read->records.size() == line);
    check(j, text.substr(0, size), line);
  }
}

BOOST_AUTO_TEST_CASE(X3_lines_removed_swapped_and_twice) {
  const small_journal j;
  const std::size_t n = j.lines.size();
  const auto join = [](const std::vector<std::string>& lines) {
    std::string all;
    for (const std::string& line : lines) all += line;
    return all;
  };
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<std::string> lines = j.lines;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    check(j, join(lines), i);
    const bool told = n >= 2 && i < n - 2;  // the last line speaks of all but the last two
    BOOST_REQUIRE(run::parse_journal(join(lines), "j").has_error() == (told && i + 1 < n));
    lines = j.lines;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i), j.lines[i]);
    check(j, join(lines), i + 1);
    for (std::size_t k = i + 1; k < n; ++k) {
      lines = j.lines;
      std::swap(lines[i], lines[k]);
      check(j, join(lines), i);
    }
  }
}

BOOST_AUTO_TEST_CASE(X3_what_follows_a_good_journal_is_a_tail_and_never_believed) {
  const small_journal j;
  for (const std::string& tail :
       {std::string("\n"), std::string(4096, '\0'), std::string("{}\n"), j.lines[0], j.lines[2],
        std::string("garbage without an end"), std::string(300, '\xff') + "\n"}) {
    const auto read = run::parse_journal(j.text() + tail, "j");
    BOOST_REQUIRE(read.has_value());
    BOOST_TEST(read->records.size() == j.records.size());
    BOOST_TEST(read->dropped_bytes == tail.size());
  }
}

BOOST_AUTO_TEST_CASE(X7_a_journal_of_a_newer_version_is_refused_by_name_and_left_as_it_is) {
  const test::temp_dir dir;
  const auto path = dir / "journal.jsonl";
  const run::record first{
      1, "2026-01-02T00:00:00.000Z", "run_started", {{"schema", "remora.run/2"}, {"news", true}}};
  const std::string text = run::journal_line(first, 1, "boot", 0);
  test::write_bytes(path, text);
  for (const error& e : {run::read_journal(path).error(), run::read_journal_head(path).error()}) {
    BOOST_TEST(e.is(errc::unsupported));
    BOOST_TEST(e.what.find("remora.run/2") != std::string::npos);
  }
  BOOST_TEST(test::read_bytes(path) == text);
}

BOOST_AUTO_TEST_CASE(the_head_is_the_first_record_alone_and_none_where_no_line_is_whole) {
  const test::temp_dir dir;
  const auto path = dir / "journal.jsonl";
  const small_journal j;
  BOOST_TEST(run::read_journal_head(path).error().is(errc::no_match));
  for (const std::string& text :
       {std::string(), j.lines[0].substr(0, 20), std::string(200, '\0') + "\n"}) {
    test::write_bytes(path, text);
    BOOST_TEST(!run::read_journal_head(path).value().has_value());
  }
  test::write_bytes(path, j.lines[0] + "whatever\n");
  BOOST_TEST(same(**run::read_journal_head(path), j.records[0]));
  std::string damaged = j.lines[0];
  damaged[10] ^= 1;
  test::write_bytes(path, damaged);
  BOOST_TEST(run::read_journal_head(path).error().is(errc::corrupt));
}

BOOST_AUTO_TEST_SUITE_END()

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <remora/core/posix.hpp>
#include <remora/run/journal.hpp>

#include "repo.hpp"

using namespace remora;
namespace asio = boost::asio;

namespace {

/// Keeps what it gets; can be told to fail.
class scripted_file final : public run::journal_file {
 public:
  explicit scripted_file(std::string& bytes, int& syncs, int fail_sync_at = 0)
      : bytes_(bytes), syncs_(syncs), fail_sync_at_(fail_sync_at) {}
  result<void> append(std::string_view b) override {
    bytes_ += b;
    return {};
  }
  result<void> sync() override {
    if (++syncs_ == fail_sync_at_) return os_error(EIO, "cannot sync the journal");
    return {};
  }

 private:
  std::string& bytes_;
  int& syncs_;
  int fail_sync_at_;
};

std::string three_lines(run::sequence synced_in_last) {
  std::string text;
  for (run::sequence i = 1; i <= 3; ++i) {
    const run::record r{i,
                        "2026-01-02T00:00:00.000Z",
                        "task_phase",
                        {{"task", "t" + std::to_string(i)}, {"phase", "running"}}};
    text += run::journal_line(r, 1, "boot", i == 3 ? synced_in_last : 0);
  }
  return text;
}

asio::awaitable<void> write_two(run::journal& j, std::vector<bool>& ok) {
  const run::record first = j.append("a", {{"x", 1}});
  const run::record second = j.append("b", {{"y", "z"}});
  auto durable = co_await j.durable(second.seq);
  ok.push_back(durable.has_value());
  durable = co_await j.durable(first.seq);
  ok.push_back(durable.has_value());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(journals)

BOOST_AUTO_TEST_CASE(a_line_is_the_frame_the_payload_and_their_checksum) {
  const run::record warning{7, "2026-01-02T00:00:00.000Z", "warning", {{"text", "a \"b\"\n"}}};
  BOOST_TEST(run::journal_line(warning, 5, "boot", 6) ==
             R"({"seq":7,"t":"2026-01-02T00:00:00.000Z","mono_ns":5,"boot":"boot",)"
             R"("type":"warning","text":"a \"b\"\n","synced":6,"crc":"d327c314"})"
             "\n");
  const run::record bare{8, "2026-01-02T00:00:00.000Z", "run_resumed", {}};
  BOOST_TEST(run::journal_line(bare, 5, "boot", 7) ==
             R"({"seq":8,"t":"2026-01-02T00:00:00.000Z","mono_ns":5,"boot":"boot",)"
             R"("type":"run_resumed","synced":7,"crc":"87dacbfe"})"
             "\n");
}

BOOST_AUTO_TEST_CASE(a_record_is_durable_when_it_says_so_and_reads_back) {
  std::string bytes;
  int syncs = 0;
  std::vector<bool> ok;
  asio::io_context loop(1);
  {
    run::journal j(loop.get_executor(), std::make_unique<scripted_file>(bytes, syncs),
                   machine_clock());
    asio::co_spawn(loop, write_two(j, ok), asio::detached);
    loop.run();
  }
  BOOST_TEST((ok == std::vector<bool>{true, true}));
  BOOST_TEST(syncs >= 1);
  const auto contents = run::parse_journal(bytes, "j");
  BOOST_REQUIRE(contents);
  BOOST_REQUIRE(contents->records.size() == 2u);
  BOOST_TEST(contents->records[1].type == "b");
  BOOST_TEST(contents->records[1].payload.at("y").as_string() == "z");
  BOOST_TEST(contents->dropped_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(F4_a_failed_sync_closes_the_journal_for_good) {
  std::string bytes;
  int syncs = 0;
  std::vector<bool> ok;
  asio::io_context loop(1);
  {
    run::journal j(loop.get_executor(), std::make_unique<scripted_file>(bytes, syncs, 1),
                   machine_clock());
    asio::co_spawn(loop, write_two(j, ok), asio::detached);
    loop.run();
    loop.restart();
    asio::co_spawn(loop, write_two(j, ok), asio::detached);
    loop.run();
  }
  BOOST_TEST((ok == std::vector<bool>{false, false, false, false}));
  BOOST_TEST(syncs == 1);
}

BOOST_AUTO_TEST_CASE(X3_a_torn_tail_is_dropped_at_every_byte) {
  const std::string text = three_lines(0);
  const std::size_t second = text.find('\n', text.find('\n') + 1) + 1;
  for (std::size_t cut = second; cut < text.size(); ++cut) {
    const auto contents = run::parse_journal(std::string_view(text).substr(0, cut), "j");
    BOOST_REQUIRE(contents);
    BOOST_REQUIRE(contents->records.size() == 2u);
    BOOST_REQUIRE(contents->valid_bytes == second);
    BOOST_REQUIRE(contents->dropped_bytes == cut - second);
  }
}

BOOST_AUTO_TEST_CASE(X3_a_flipped_byte_in_what_was_acknowledged_is_refused_with_its_line) {
  const std::string text = three_lines(2);
  const std::size_t first = text.find('\n') + 1;
  const std::size_t second = text.find('\n', first) + 1;
  for (std::size_t at = first; at + 1 < second;
       ++at) {  // without its newline, line 3 could not speak
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x01);
    const auto contents = run::parse_journal(damaged, "j");
    BOOST_REQUIRE(contents.has_error());
    BOOST_REQUIRE(contents.error().is(errc::corrupt));
    BOOST_REQUIRE(contents.error().what.starts_with("j:2: "));
  }
}

BOOST_AUTO_TEST_CASE(X3_a_flipped_byte_in_what_nobody_relied_on_is_a_tail) {
  std::string text = three_lines(1);  // the third record says: only the first was known durable
  text[text.find('\n') + 5] ^= 0x01;
  const auto contents = run::parse_journal(text, "j");
  BOOST_REQUIRE(contents);
  BOOST_TEST(contents->records.size() == 1u);
}

BOOST_AUTO_TEST_CASE(the_file_is_cut_at_its_valid_bytes_before_it_goes_on) {
  const test::temp_dir dir;
  const auto path = dir.path() / "journal.jsonl";
  const std::string text = three_lines(0);
  std::ofstream(path) << text << "{\"seq\":4,\"half";
  const auto contents = run::read_journal(path);
  BOOST_REQUIRE(contents);
  auto file = run::open_journal_file(path, contents->valid_bytes);
  BOOST_REQUIRE(file);
  BOOST_TEST((*file)->append("next\n").has_value());
  BOOST_TEST(read_file(path).value() == text + "next\n");
}

BOOST_AUTO_TEST_CASE(a_missing_journal_is_no_match) {
  BOOST_TEST(run::read_journal("/nonexistent/journal.jsonl").error().is(errc::no_match));
}

BOOST_AUTO_TEST_SUITE_END()

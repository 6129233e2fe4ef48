#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <optional>
#include <remora/core/crc32c.hpp>
#include <remora/core/posix.hpp>
#include <remora/run/journal.hpp>

namespace remora::run {
namespace json = boost::json;
namespace {

constexpr std::string_view crc_key = ",\"crc\":\"";
constexpr std::size_t crc_tail = crc_key.size() + 8 + 2;  // the digits, `"}`

struct checked_line {
  record what;
  sequence synced = 0;
};

/// The record, if the line's checksum and shape are right.
std::optional<checked_line> check(std::string_view line) {
  if (line.size() <= crc_tail) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - crc_tail);
  const std::string_view tail = line.substr(body.size());
  if (!tail.starts_with(crc_key) ||
      tail.substr(crc_key.size()) != fmt::format("{:08x}\"}}", crc32c(body)))
    return std::nullopt;
  boost::system::error_code ec;
  json::value value = json::parse(line, ec);
  if (ec || !value.is_object()) return std::nullopt;
  json::object& o = value.get_object();
  const auto number = [&](std::string_view key) {
    const json::value* v = o.if_contains(key);
    return v && v->is_number() ? v->to_number<sequence>(ec) : 0;
  };
  const auto text = [&](std::string_view key) {
    const json::value* v = o.if_contains(key);
    return v && v->is_string() ? std::string(v->get_string()) : std::string();
  };
  checked_line c{{number("seq"), text("t"), text("type"), {}}, number("synced")};
  for (const std::string_view key : {"seq", "t", "mono_ns", "boot", "type", "synced", "crc"})
    o.erase(key);
  c.what.payload = std::move(o);
  return c;
}

}  // namespace

result<journal_contents> read_journal(const std::filesystem::path& path) {
  auto bytes = read_file(path);
  if (!bytes && bytes.error().is_errno(ENOENT))
    return fail(errc::no_match, fmt::format("{} is not there", path.string()));
  if (!bytes) return bytes.error();
  return parse_journal(*bytes, path.string());
}

result<journal_contents> parse_journal(std::string_view rest, const std::string& name) {
  journal_contents contents;
  std::size_t line_number = 0, first_bad = 0;
  sequence lost = 0;  // the first record that the bad stretch held
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const std::size_t taken = end == rest.npos ? rest.size() : end + 1;
    rest.remove_prefix(taken);
    ++line_number;
    auto good = end == std::string_view::npos ? std::nullopt : check(line);
    const sequence expected = contents.records.empty() ? 1 : contents.records.back().seq + 1;
    if (first_bad == 0 && good && good->what.seq == expected) {
      contents.valid_bytes += taken;
      contents.records.push_back(std::move(good->what));
      continue;
    }
    if (first_bad == 0) {
      first_bad = line_number;
      lost = expected;
    }
    contents.dropped_bytes += taken;
    if (good && good->synced >= lost)
      return fail(errc::corrupt,
                  fmt::format("{}:{}: this record is damaged, and it had been acknowledged (record "
                              "{} says so); restore the "
                              "file, or start over from the checkpoints with 'remora rerun'",
                              name, first_bad, good->what.seq));
  }
  return contents;
}

}  // namespace remora::run

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <optional>
#include <remora/core/crc32c.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/run/journal.hpp>

namespace remora::run {
namespace json = boost::json;
namespace {

constexpr std::string_view crc_key = ",\"crc\":\"";
constexpr std::size_t head_piece = 64 << 10;
constexpr std::size_t crc_tail = crc_key.size() + 8 + 2;  // the digits, `"}`

struct checked_line {
  record what;
  sequence synced = 0;
};

/// The record, if the line's checksum and shape are right.
std::optional<checked_line> check(std::string_view line, json::storage_ptr memory = {}) {
  if (line.size() <= crc_tail) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - crc_tail);
  const std::string_view tail = line.substr(body.size());
  if (!tail.starts_with(crc_key) ||
      tail.substr(crc_key.size()) != fmt::format("{:08x}\"}}", crc32c(body)))
    return std::nullopt;
  boost::system::error_code ec;
  json::value value = json::parse(line, ec, std::move(memory));
  if (ec || !value.is_object()) return std::nullopt;
  json::object& o = value.get_object();
  const auto seq = json_integer<sequence>(o, "seq"), synced = json_integer<sequence>(o, "synced");
  std::string t = json_text(o, "t"), type = json_text(o, "type"), boot = json_text(o, "boot");
  for (const std::string_view key : {"seq", "t", "mono_ns", "boot", "type", "synced", "crc"})
    o.erase(key);
  return checked_line{{seq, std::move(t), std::move(type), std::move(o), std::move(boot)}, synced};
}

/// The frame of a line stays what it is in every version, so that this can always be told.
result<void> check_version(const record& first, const std::string& name) {
  const std::string schema = json_text(first.payload, "schema");
  if (first.type != "run_started" || schema == run_schema) return {};
  return fail(
      errc::unsupported,
      fmt::format("{} was written by another version of remora ({}), and this one reads {}: "
                  "use the remora that began the run. Nothing was touched",
                  name, printable(schema), run_schema));
}

error damaged(const std::string& name, std::size_t line, const std::string& why) {
  return fail(errc::corrupt, fmt::format("{}:{}: this record is damaged{}; restore the file, or "
                                         "let 'remora doctor --fix' build it anew from git",
                                         name, line, why));
}

}  // namespace

result<std::optional<record>> read_journal_head(const std::filesystem::path& path) {
  const auto fd = open_file(path, O_RDONLY);
  if (!fd && fd.error().is_errno(ENOENT))
    return fail(errc::no_match, fmt::format("{} is not there", path.string()));
  if (!fd) return fd.error();
  std::string text;
  for (std::size_t end = text.npos; end == text.npos;) {
    const std::size_t before = text.size();
    text.resize(before + head_piece);
    const ssize_t n =
        ::pread(fd->get(), text.data() + before, head_piece, static_cast<off_t>(before));
    if (n < 0 && errno != EINTR)
      return os_error(errno, fmt::format("cannot read {}", path.string()));
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    end = text.find('\n', before);
    if (n == 0) break;
  }
  return parse_journal_head(text, path.string());
}

result<std::optional<record>> parse_journal_head(std::string_view bytes, const std::string& name) {
  const std::size_t end = bytes.find('\n');
  if (end == bytes.npos) return std::optional<record>();
  const std::string_view line = bytes.substr(0, end);
  auto first = check(line);
  if (!first && line.find('\0') != line.npos) return std::optional<record>();  // a power cut
  if (!first || first->what.seq != 1) return damaged(name, 1, "");
  REMORA_CHECK(check_version(first->what, name));
  return std::optional(std::move(first->what));
}

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
  // Thousands of small values, which are all there for as long as one of them is.
  const auto memory = json::make_shared_resource<json::monotonic_resource>();
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const std::size_t taken = end == rest.npos ? rest.size() : end + 1;
    rest.remove_prefix(taken);
    ++line_number;
    auto good = end == std::string_view::npos ? std::nullopt : check(line, memory);
    const sequence expected = contents.records.empty() ? 1 : contents.records.back().seq + 1;
    if (first_bad == 0 && good && good->what.seq == expected) {
      if (expected == 1) REMORA_CHECK(check_version(good->what, name));
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
      return damaged(
          name, first_bad,
          fmt::format(", and it had been acknowledged (record {} says so)", good->what.seq));
  }
  return contents;
}

}  // namespace remora::run

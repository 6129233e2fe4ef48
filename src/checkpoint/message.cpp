// The messages of both commits, and the reader of a record's.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <remora/checkpoint/record.hpp>
#include <remora/core/text.hpp>

namespace remora::checkpoint {
namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::size_t value_limit = 1024;  // a reason or a ref; one over it is told elsewhere whole

/// One line, fit for a terminal. Idempotent, so that what was read is written the same.
std::string one_value(std::string_view text) {
  std::string flat(text);
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
  std::replace_if(flat.begin(), flat.end(), control, ' ');
  flat = printable(flat);
  return std::string(trim(head_bytes(trim(flat), value_limit)));
}

void add(std::string& message, std::string_view key, std::string_view value) {
  message += fmt::format("Remora-{}: {}\n", key, value);
}

/// What both commits say.
std::string opening(const record& r) {
  const std::string reason = one_value(r.reason);
  std::string m =
      fmt::format("remora: checkpoint {} of {} ({})\n\n", r.number.value(), r.task.str(), reason);
  add(m, "Run", r.run.str());
  add(m, "Task", r.task.str());
  add(m, "Attempt", std::to_string(r.attempt.value()));
  add(m, "Checkpoint", std::to_string(r.number.value()));
  add(m, "Reason", reason);
  add(m, "Base", r.base.hex());
  if (!r.head.commit.is_zero()) add(m, "Head", r.head.commit.hex());
  if (!r.head.ref.empty()) add(m, "Head-Ref", one_value(r.head.ref));
  return m;
}

using trailer = std::pair<std::string_view, std::string_view>;

/// The `Remora-` lines of the last paragraph; the subject and a reason cannot forge one.
std::vector<trailer> trailers(std::string_view message) {
  constexpr std::string_view ours = "Remora-";
  while (message.ends_with('\n')) message.remove_suffix(1);
  const std::size_t gap = message.rfind("\n\n");
  if (gap == message.npos) return {};
  std::vector<trailer> found;
  for (std::string_view line : split(message.substr(gap + 2), '\n')) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(ours) || colon == line.npos) continue;
    found.emplace_back(line.substr(ours.size(), colon - ours.size()), trim(line.substr(colon + 1)));
  }
  return found;
}

class trailer_reader {
 public:
  explicit trailer_reader(std::string_view message) : all_(trailers(message)) {}

  bool has(std::string_view key) const {
    return std::any_of(all_.begin(), all_.end(), [&](const trailer& t) { return t.first == key; });
  }

  result<std::optional<std::string_view>> maybe(std::string_view key) const {
    std::optional<std::string_view> found;
    for (const auto& [name, value] : all_) {
      if (name != key) continue;
      if (found) return fail(errc::corrupt, fmt::format("Remora-{} is there twice", key));
      found = value;
    }
    return found;
  }

  result<std::string_view> one(std::string_view key) const {
    REMORA_TRY(const auto found, maybe(key));
    if (!found) return fail(errc::corrupt, fmt::format("Remora-{} is missing", key));
    return *found;
  }

  result<std::uint32_t> number(std::string_view key) const {
    REMORA_TRY(const auto text, one(key));
    return parse_number(key, text);
  }

  result<std::optional<std::uint32_t>> maybe_number(std::string_view key) const {
    REMORA_TRY(const auto text, maybe(key));
    if (!text) return std::optional<std::uint32_t>();
    REMORA_TRY(const auto value, parse_number(key, *text));
    return std::optional(value);
  }

  result<std::optional<git::oid>> maybe_id(std::string_view key) const {
    REMORA_TRY(const auto text, maybe(key));
    if (!text) return std::optional<git::oid>();
    REMORA_TRY(const auto id, parse_id(key, *text));
    return std::optional(id);
  }

  result<git::oid> id(std::string_view key) const {
    REMORA_TRY(const auto text, one(key));
    return parse_id(key, text);
  }

  result<std::vector<git::oid>> ids(std::string_view key) const {
    std::vector<git::oid> found;
    for (const auto& [name, value] : all_) {
      if (name != key) continue;
      REMORA_TRY(const auto id, parse_id(key, value));
      found.push_back(id);
    }
    return found;
  }

 private:
  static result<std::uint32_t> parse_number(std::string_view key, std::string_view text) {
    std::uint32_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc() || stop != end)
      return fail(errc::corrupt, fmt::format("Remora-{} is not a number", key));
    return value;
  }

  static result<git::oid> parse_id(std::string_view key, std::string_view text) {
    auto id = git::oid::parse(text);
    if (!id || id->is_zero())
      return fail(errc::corrupt, fmt::format("Remora-{} is not an object id", key));
    return *id;
  }

  std::vector<trailer> all_;
};

result<void> check_format(const trailer_reader& t) {
  if (!t.has("Format"))
    return fail(errc::foreign, "it is no checkpoint of ours: there is no Remora-Format trailer");
  REMORA_TRY(const std::uint32_t format, t.number("Format"));
  if (format > format_version)
    return fail(errc::unsupported,
                fmt::format("it is in checkpoint format {}, and this remora reads formats up to "
                            "{}: use a newer remora",
                            format, format_version));
  if (format == 0) return fail(errc::corrupt, "Remora-Format is 0");
  return {};
}

/// An id in a message that does not parse is damage there, not somebody's wrong command line.
error as_corrupt(std::string_view key, const error& e) {
  return fail(errc::corrupt, fmt::format("Remora-{}: {}", key, e.what));
}

result<record> parse_opening(const trailer_reader& t) {
  REMORA_TRY(const auto run_text, t.one("Run"));
  REMORA_TRY(const auto task_text, t.one("Task"));
  auto run = run_id::parse(run_text);
  if (!run) return as_corrupt("Run", run.error());
  auto task = task_id::parse(task_text);
  if (!task) return as_corrupt("Task", task.error());
  REMORA_TRY(const auto attempt, t.number("Attempt"));
  REMORA_TRY(const auto number, t.number("Checkpoint"));
  REMORA_TRY(const auto reason, t.one("Reason"));
  REMORA_TRY(const auto base, t.id("Base"));
  REMORA_TRY(const auto head, t.maybe_id("Head"));
  REMORA_TRY(const auto head_ref, t.maybe("Head-Ref"));
  return record{.run = *run,
                .task = *task,
                .attempt = attempt_no(attempt),
                .number = checkpoint_no(number),
                .reason = std::string(reason),
                .base = base,
                .head = {head.value_or(git::oid()), std::string(head_ref.value_or(""))}};
}

}  // namespace

std::string files_message(const record& r) {
  std::string m = opening(r);
  add(m, "Format", std::to_string(format_version));
  return m;
}

std::string record_message(const record& r) {
  std::string m = opening(r);
  add(m, "Files", r.files.hex());
  if (r.previous) add(m, "Previous", r.previous->hex());
  for (const git::oid& id : r.keep) add(m, "Keep", id.hex());
  if (r.from) add(m, "From", std::to_string(r.from->value()));
  add(m, "Format", std::to_string(format_version));
  return m;
}

result<record> parse_files_message(std::string_view message) {
  const trailer_reader t(message);
  REMORA_CHECK(check_format(t));
  return parse_opening(t);
}

result<record> parse_record_message(std::string_view message) {
  const trailer_reader t(message);
  REMORA_CHECK(check_format(t));
  if (!t.has("Files"))
    return fail(errc::foreign, "it is the files commit of a checkpoint, not its record");
  REMORA_TRY(record r, parse_opening(t));
  REMORA_TRY(r.files, t.id("Files"));
  REMORA_TRY(r.previous, t.maybe_id("Previous"));
  REMORA_TRY(r.keep, t.ids("Keep"));
  REMORA_TRY(const auto from, t.maybe_number("From"));
  if (from) r.from = checkpoint_no(*from);
  return r;
}

}  // namespace remora::checkpoint

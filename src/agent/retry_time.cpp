// When a quota is there again, out of what CLIs say about it. A small reader of English, not of
// any: each form below was printed by one of the CLIs.
#include <time.h>

#include <array>
#include <cctype>
#include <charconv>
#include <remora/agent/failure.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

using std::chrono::seconds;

constexpr std::size_t read_bytes = 4 << 10;
constexpr double last_second = 253402300799;  // of the year 9999

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Reads a lowered text from left to right; what does not match is not consumed.
class reader {
 public:
  explicit reader(std::string_view text) : text_(text) {}

  bool word(std::string_view w) {
    blanks();
    if (!text_.starts_with(w)) return false;
    text_.remove_prefix(w.size());
    return true;
  }
  std::optional<double> number() {
    blanks();
    if (text_.empty() || !is_digit(text_.front())) return std::nullopt;
    double n = 0;
    const auto [end, ec] =
        std::from_chars(text_.data(), text_.data() + text_.size(), n, std::chars_format::fixed);
    if (ec != std::errc()) return std::nullopt;
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return n;
  }
  /// A whole number of at most `digits` digits.
  std::optional<int> integer(std::size_t digits) {
    blanks();
    std::size_t n = 0;
    int value = 0;
    while (n < text_.size() && n <= digits && is_digit(text_[n]))
      value = value * 10 + (text_[n++] - '0');
    if (n == 0 || n > digits) return std::nullopt;
    text_.remove_prefix(n);
    return value;
  }
  std::string_view letters() {
    blanks();
    std::size_t n = 0;
    while (n < text_.size() && std::isalpha(static_cast<unsigned char>(text_[n]))) ++n;
    const std::string_view taken = text_.substr(0, n);
    text_.remove_prefix(n);
    return taken;
  }
  std::string_view rest() const { return text_; }

 private:
  void blanks() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t' ||
                              text_.front() == ':' || text_.front() == '"'))
      text_.remove_prefix(1);
  }
  std::string_view text_;
};

double unit_seconds(std::string_view unit) {
  if (unit.empty() || unit == "s" || unit.starts_with("sec")) return 1;
  if (unit == "ms" || unit.starts_with("milli")) return 0.001;
  if (unit == "m" || unit.starts_with("min")) return 60;
  if (unit == "h" || unit.starts_with("hour") || unit == "hr" || unit == "hrs") return 3600;
  if (unit == "d" || unit.starts_with("day")) return 86400;
  return 0;
}

/// `30 seconds`, `1m30s`, `3h 20m`, `3600`.
std::optional<double> span(reader r) {
  double total = 0;
  bool any = false;
  while (const auto n = r.number()) {
    reader after = r;
    const double unit = unit_seconds(after.letters());
    if (unit == 0) break;
    total += *n * unit;
    any = true;
    r = after;
  }
  if (!any) return std::nullopt;
  return total;
}

std::optional<int> month(reader& r) {
  constexpr std::array<std::string_view, 12> names = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
  reader ahead = r;
  const std::string_view word = ahead.letters();
  for (int m = 0; m < 12; ++m)
    if (word.starts_with(names[static_cast<std::size_t>(m)])) {
      r = ahead;
      return m;
    }
  return std::nullopt;
}

struct time_of_day {
  int hour, minute;
};

/// `5pm`, `5:30 pm`, `17:00`.
std::optional<time_of_day> clock_time(reader& r) {
  const auto hour = r.integer(2);
  if (!hour) return std::nullopt;
  std::optional<int> minute;
  if (r.rest().starts_with(':')) minute = r.integer(2);
  time_of_day t{*hour, minute.value_or(0)};
  const bool pm = r.word("pm") || r.word("p.m");
  const bool am = !pm && (r.word("am") || r.word("a.m"));
  if (!minute && !pm && !am) return std::nullopt;  // a bare number is no time
  if ((pm || am) && (t.hour < 1 || t.hour > 12)) return std::nullopt;
  if (pm && t.hour < 12) t.hour += 12;
  if (am && t.hour == 12) t.hour = 0;
  if (t.hour > 23 || t.minute > 59) return std::nullopt;
  return t;
}

wall_time moment(const tm& broken, bool utc) {
  tm copy = broken;
  return std::chrono::system_clock::from_time_t(utc ? timegm(&copy) : mktime(&copy));
}

/// What follows `resets`: the next such moment after `now`.
std::optional<wall_time> calendar(reader r, wall_time now) {
  (void)(r.word("at") || r.word("on"));
  const auto m = month(r);
  const auto day = m ? r.integer(2) : std::nullopt;
  if (m && !day) return std::nullopt;
  (void)r.word(",");
  (void)r.word("at");
  const auto t = clock_time(r);
  if (!t) return std::nullopt;
  const bool utc = r.word("utc") || r.word("gmt") || r.word("(utc") || r.word("(gmt");

  const time_t seconds_now = std::chrono::system_clock::to_time_t(now);
  tm broken{};
  if (utc)
    gmtime_r(&seconds_now, &broken);
  else
    localtime_r(&seconds_now, &broken);
  if (m) {
    broken.tm_mon = *m;
    broken.tm_mday = *day;
  }
  broken.tm_hour = t->hour;
  broken.tm_min = t->minute;
  broken.tm_sec = 0;
  broken.tm_isdst = -1;
  const wall_time first = moment(broken, utc);
  if (first > now) return first;
  if (m)
    ++broken.tm_year;
  else
    ++broken.tm_mday;
  return moment(broken, utc);
}

std::optional<std::string> after(wall_time now, double span_seconds) {
  const double at = std::chrono::duration<double>(now.time_since_epoch()).count() + span_seconds;
  return epoch_time(at < 1e11 ? at : 0);
}

/// `…|1763740800`.
std::optional<std::string> barred_epoch(std::string_view text) {
  for (std::size_t at = text.find('|'); at != text.npos; at = text.find('|', at + 1)) {
    reader r(text.substr(at + 1));
    if (const auto n = r.number(); n && *n > 1e9) return epoch_time(*n);
  }
  return std::nullopt;
}

/// `2025-11-21T17:00:00Z`, with a fraction or an offset.
std::optional<std::string> timestamp(std::string_view text) {
  for (std::size_t at = text.find("-"); at != text.npos; at = text.find("-", at + 1)) {
    if (at < 4) continue;
    tm t{};
    const std::string from(text.substr(at - 4, 40));
    const char* end = strptime(from.c_str(), "%Y-%m-%dt%H:%M:%S", &t);
    if (!end) end = strptime(from.c_str(), "%Y-%m-%d %H:%M:%S", &t);
    if (!end) continue;
    if (*end == '.') do
        ++end;
      while (is_digit(*end));
    double offset = 0;
    if (*end == '+' || *end == '-') {
      const double sign = *end == '+' ? 60 : -60;
      reader r(end + 1);
      const int hours = r.integer(2).value_or(0);
      offset = sign * (hours * 60 + r.integer(2).value_or(0));
    }
    return epoch_time(static_cast<double>(timegm(&t)) - offset);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> epoch_time(double s) {
  if (s > 1e11) s /= 1000;
  if (!(s > 0) || s > last_second) return std::nullopt;
  return iso8601(wall_time(seconds(static_cast<std::int64_t>(s))));
}

std::optional<std::string> retry_time(std::string_view text, wall_time now) {
  std::string lowered(head_bytes(text, read_bytes));
  for (char& c : lowered) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string_view all = lowered;

  if (auto t = barred_epoch(all)) return t;
  if (auto t = timestamp(all)) return t;
  for (const std::string_view mark :
       {"retry after", "retry-after", "retry_after", "try again in", "retry in", "resets in",
        "reset in", "reset after", "reset after:", "try again after"})
    if (const auto at = all.find(mark); at != all.npos)
      if (const auto s = span(reader(all.substr(at + mark.size())))) return after(now, *s);
  for (const std::string_view mark : {"resets", "reset", "try again", "until"})
    if (const auto at = all.find(mark); at != all.npos)
      if (const auto t = calendar(reader(all.substr(at + mark.size())), now)) return iso8601(*t);
  return std::nullopt;
}

}  // namespace remora::agent

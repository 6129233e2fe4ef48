#include <algorithm>
#include <charconv>
#include <remora/core/clock.hpp>

namespace remora {
namespace {

class machine final : public clock {
 public:
  time_point now() const override { return std::chrono::steady_clock::now(); }
  wall_time wall() const override { return std::chrono::system_clock::now(); }
};

}  // namespace

clock& machine_clock() {
  static machine instance;
  return instance;
}

void manual_clock::advance(duration d) {
  now_ += d;
  wall_ += std::chrono::duration_cast<wall_time::duration>(d);
}

std::string iso8601(wall_time t) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(t);
  const auto midnight = std::chrono::floor<std::chrono::days>(ms);
  const std::chrono::year_month_day day(midnight);
  const std::chrono::hh_mm_ss of_day(ms - midnight);
  std::string text = "0000-00-00T00:00:00.000Z";
  const auto put = [&text](std::size_t last, std::int64_t n) {
    for (; n > 0; n /= 10) text[last--] = static_cast<char>('0' + n % 10);
  };
  put(3, static_cast<int>(day.year()));
  put(6, static_cast<unsigned>(day.month()));
  put(9, static_cast<unsigned>(day.day()));
  put(12, of_day.hours().count());
  put(15, of_day.minutes().count());
  put(18, of_day.seconds().count());
  put(22, of_day.subseconds().count());
  return text;
}

/// `wall_time` counts nanoseconds, and ends in 2262.
constexpr std::chrono::year last_year(2261);

std::optional<wall_time> parse_iso8601(std::string_view text) {
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd.dddZ",
                             short_shape = "dddd-dd-ddTdd:dd:ddZ";
  const auto fits = [&](std::string_view wanted) {
    return std::ranges::equal(
        text, wanted, [](char c, char w) { return w == 'd' ? c >= '0' && c <= '9' : c == w; });
  };
  if (!fits(shape) && !fits(short_shape)) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t length) {
    int n = 0;
    std::from_chars(text.data() + at, text.data() + at + length, n);
    return n;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  if (!day.ok() || day.year() > last_year) return std::nullopt;
  return std::chrono::sys_days(day) + std::chrono::hours(number(11, 2)) +
         std::chrono::minutes(number(14, 2)) + std::chrono::seconds(number(17, 2)) +
         std::chrono::milliseconds(text.size() == shape.size() ? number(20, 3) : 0);
}

}  // namespace remora

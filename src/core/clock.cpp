#include <fmt/chrono.h>
#include <fmt/format.h>

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
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ms);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", seconds, (ms - seconds).count());
}

}  // namespace remora

#include <algorithm>
#include <array>
#include <remora/supervise/outer_limits.hpp>
#include <span>
#include <string_view>
#include <utility>

namespace remora::supervise {
namespace {

using namespace std::chrono_literals;
using agent::verdict;

constexpr milliseconds youngest = 10s;

bool holds(std::span<const std::string_view> words, const agent::outcome& o) {
  return std::ranges::find(words, o.detail) != words.end();
}

/// A signal that a process may answer, or the exit status of one that did.
bool was_asked(const agent::outcome& o) {
  static constexpr std::array<std::string_view, 5> signals{"SIGTERM", "SIGINT", "SIGHUP", "SIGALRM",
                                                           "SIGXCPU"};
  static constexpr std::array<std::string_view, 6> codes{"124", "129", "130", "142", "143", "152"};
  return (o.verdict == verdict::crashed && holds(signals, o)) ||
         (o.verdict == verdict::failed && holds(codes, o));
}

bool was_killed(const agent::outcome& o) {
  return (o.verdict == verdict::crashed && o.detail == "SIGKILL") ||
         (o.verdict == verdict::failed && o.detail == "137");
}

bool is_external(const agent::outcome& o) {
  return o.verdict == verdict::timed_out && o.detail == "external";
}

milliseconds tolerance(milliseconds age) {
  return std::max(milliseconds(1s), age / 20);
}

bool about_the_same(milliseconds a, milliseconds b) {
  return std::chrono::abs(a - b) <= tolerance(std::max(a, b));
}

}  // namespace

agent::outcome judge_exit(agent::outcome o, milliseconds age) {
  if (age >= youngest && was_asked(o)) return {verdict::timed_out, "external", std::move(o.text)};
  return o;
}

std::optional<milliseconds> outer_limits::ended(const std::string& agent, const agent::outcome& o,
                                                time_point began, time_point at) {
  const auto age = std::chrono::floor<milliseconds>(at - began);
  known& k = agents_[agent];
  if (age < youngest || !(is_external(o) || was_killed(o))) {
    if (k.last && age > k.last->age + tolerance(k.last->age)) k.last.reset();
    return std::nullopt;
  }
  const auto before = std::exchange(k.last, end{at, age});
  if (!before || began < before->at || !about_the_same(before->age, age)) return std::nullopt;
  const milliseconds wall = std::min(before->age, age) * 9 / 10;
  if (k.wall && *k.wall <= wall) return std::nullopt;
  return k.wall = wall;
}

std::optional<milliseconds> outer_limits::wall(const std::string& agent) const {
  const auto at = agents_.find(agent);
  return at == agents_.end() ? std::nullopt : at->second.wall;
}

}  // namespace remora::supervise

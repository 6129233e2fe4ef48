#include <algorithm>
#include <remora/supervise/chain.hpp>

namespace remora::supervise {
namespace {

using namespace std::chrono_literals;
using agent::verdict;

constexpr std::uint32_t fruitless_limit = 2;
constexpr std::uint32_t preparations = 3;

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed with every library,
// which std::uniform_int_distribution does not promise.
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// These end an attempt for what happens outside of it.
bool tells_nothing(verdict v) {
  return v == verdict::rate_limited || v == verdict::overloaded || v == verdict::network ||
         v == verdict::interrupted;
}

agent::outcome no_progress(const agent::outcome& last) {
  return {verdict::no_progress, std::string(agent::name(last.verdict)), last.text};
}

}  // namespace

chain::chain(const limits& l, std::uint64_t seed)
    : attempts_(l.attempts), rate_wait_(l.rate_wait), random_(seed) {}

chain::next chain::after(const agent::outcome& o, std::optional<milliseconds> retry_in, progress p,
                         bool stopping, time_point now) {
  const rule& r = rule_of(o.verdict);
  count_row(o.verdict, now);
  judge_progress(o.verdict, p);

  next n;
  n.then = r.then == follow::next_agent ? follow::fail : r.then;
  n.counted = r.counts && now - row_since_ >= r.free_for;
  if (n.counted) ++counted_;
  if (n.then != follow::successor) return n;

  if (spent()) {
    n.then = follow::fail;
  } else if (stopping) {
    n.then = follow::interrupt;
  } else if (fruitless_ >= fruitless_limit) {
    n.then = follow::fail;
    n.because = no_progress(o);
  } else {
    set_wait(n, r, retry_in);
  }
  return n;
}

chain::next chain::after_cut_short() {
  next n;
  if (++cut_short_ >= preparations) return n;
  const rule& r = rule_of(verdict::crashed);
  n.then = follow::successor;
  n.base = doubled(r.first_wait, cut_short_ - 1, r.longest_wait);
  n.wait = jittered(n.base);
  return n;
}

void chain::count_row(verdict v, time_point now) {
  if (row_of_ == v) {
    ++row_;
    return;
  }
  row_of_ = v;
  row_ = 0;
  row_since_ = now;
}

void chain::judge_progress(verdict v, progress p) {
  if (p == progress::some)
    fruitless_ = 0;
  else if (p == progress::none && !tells_nothing(v))
    ++fruitless_;
}

void chain::set_wait(next& n, const rule& r, std::optional<milliseconds> retry_in) {
  n.base = doubled(r.first_wait, row_, r.longest_wait);
  n.wait = jittered(n.base);
  if (r.verdict != verdict::rate_limited || !retry_in || *retry_in <= 0ms) return;
  if (*retry_in > rate_wait_) {
    n.then = follow::interrupt;
    return;
  }
  // Where the reset that was told before did not help, it is not believed alone: these lives do
  // not count, and must not follow one another without end.
  const auto least = row_ == 0 ? 0ms : doubled(r.first_wait, row_ - 1, r.longest_wait);
  n.base = n.wait = std::max(*retry_in, least);
}

// ±20 %, so that many tasks do not come back at the same moment.
milliseconds chain::jittered(milliseconds base) {
  const auto tenths_of_percent = static_cast<std::int64_t>(next_random(random_) % 401) + 800;
  return base * tenths_of_percent / 1000;
}

}  // namespace remora::supervise

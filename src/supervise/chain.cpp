#include <algorithm>
#include <remora/supervise/chain.hpp>

#include "supervise/jitter.hpp"

namespace remora::supervise {
namespace {

using namespace std::chrono_literals;
using agent::verdict;

constexpr std::uint32_t fruitless_limit = 2;
constexpr std::uint32_t preparations = 3;

// These end an attempt for what happens outside of it.
bool tells_nothing(verdict v) {
  return v == verdict::rate_limited || v == verdict::auth_failed || v == verdict::overloaded ||
         v == verdict::network || v == verdict::interrupted;
}

agent::outcome no_progress(const agent::outcome& last) {
  return {verdict::no_progress, std::string(agent::name(last.verdict)), last.text};
}

}  // namespace

chain::chain(const limits& l, std::uint64_t seed)
    : attempts_(l.attempts), agents_(std::max(l.agents, 1u)), random_(seed) {}

void chain::resume(std::uint32_t counted, std::uint32_t agent) {
  counted_ = counted;
  agent_ = std::min(agent, agents_ - 1);
  use(agent_);
}

chain::next chain::after(const agent::outcome& o, progress p, bool stopping, time_point now) {
  const rule& r = rule_of(o.verdict);
  count_row(o.verdict, now);
  judge_progress(o.verdict, p);

  next n;
  n.counted = r.counts && now - row_since_ >= r.free_for;
  if (n.counted) ++counted_;
  const bool refused = r.then == follow::next_agent;
  const bool fruitless = fruitless_ >= fruitless_limit;
  if (r.then != follow::successor && r.then != follow::open_account && !refused) {
    n.then = r.then;
  } else if (spent() || (refused && on_last_agent())) {
    n.then = follow::fail;
  } else if (stopping) {
    n.then = follow::interrupt;
  } else if (fruitless && on_last_agent()) {
    n.then = follow::fail;
    n.because = no_progress(o);
  } else {
    n.then = follow::successor;
    n.base = r.then == follow::successor ? doubled(r.first_wait, row_, r.longest_wait) : 0ms;
    n.wait = jittered(n.base, random_);
    if (refused || fruitless) {
      agent_ = current_ + 1;
      fruitless_ = 0;
    }
  }
  return n;
}

chain::next chain::after_cut_short() {
  next n;
  if (++cut_short_ >= preparations) return n;
  const rule& r = rule_of(verdict::crashed);
  n.then = follow::successor;
  n.base = doubled(r.first_wait, cut_short_ - 1, r.longest_wait);
  n.wait = jittered(n.base, random_);
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

}  // namespace remora::supervise

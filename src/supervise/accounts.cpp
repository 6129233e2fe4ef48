#include <algorithm>
#include <remora/supervise/accounts.hpp>
#include <remora/supervise/verdicts.hpp>

#include "supervise/jitter.hpp"

namespace remora::supervise {
namespace {

using namespace std::chrono_literals;
using agent::verdict;

/// A first turn may take longer; then a second one does no harm.
constexpr auto alone = 1min;

/// When anybody but `task` went last; long ago: nobody did.
wall_time last_of(const std::map<std::size_t, wall_time>& who, std::size_t task) {
  wall_time last{};
  for (const auto& [other, at] : who)
    if (other != task) last = std::max(last, at);
  return last;
}

bool lasts_shorter(const pause& a, const pause& b) {
  return a.until && (!b.until || *a.until < *b.until);
}

}  // namespace

const pause& accounts::failed(const std::string& account, const agent::outcome& why,
                              std::optional<milliseconds> retry_in, wall_time now) {
  const auto before = pauses_.find(account);
  const bool known = before != pauses_.end();
  const bool still = known && before->second.until && now < *before->second.until;
  pause p{why, now, {}, known ? before->second.row + (still ? 0 : 1) : 0};
  if (why.verdict == verdict::rate_limited) {
    const rule& r = rule_of(verdict::rate_limited);
    milliseconds wait = jittered(doubled(r.first_wait, p.row, r.longest_wait), random_);
    if (retry_in && *retry_in > 0ms) {
      const auto least = p.row == 0 ? 0ms : doubled(r.first_wait, p.row - 1, r.longest_wait);
      wait = std::max(*retry_in, least);
    }
    p.until = now + wait;
    if (still) {  // of those that ran meanwhile, whoever knows of the latest reset is believed
      p.since = before->second.since;
      p.until = std::max(*p.until, *before->second.until);
    }
  }
  first_.erase(account);
  return pauses_[account] = std::move(p);
}

bool accounts::goes_first(const std::string& account, std::size_t task) const {
  const auto went = first_.find(account);
  return went != first_.end() && went->second.contains(task);
}

bool accounts::turn_through(const std::string& account, std::size_t task) {
  if (!goes_first(account, task)) return false;
  first_.erase(account);
  return pauses_.erase(account) > 0;
}

bool accounts::ended(std::size_t task) {
  bool went = false;
  for (auto& [account, who] : first_) went = who.erase(task) > 0 || went;
  return went;
}

accounts::answer accounts::ask(std::size_t task, std::span<const std::string> names, wall_time now,
                               milliseconds longest) {
  answer a;
  const auto wait_until = [&](wall_time t) { a.again = a.again ? std::min(*a.again, t) : t; };
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto paused = pauses_.find(names[i]);
    if (paused == pauses_.end()) return {.which = i};
    const pause& p = paused->second;
    if (!p.until || *p.until - now > longest) {
      if (a.closed && !lasts_shorter(p, *a.closed)) continue;
      a.closed = &p;
      a.account = names[i];
      continue;
    }
    if (now < *p.until) {
      wait_until(*p.until);
      continue;
    }
    starts& who = first_[names[i]];
    const auto alone_until = last_of(who, task) + alone;
    if (now < alone_until) {
      wait_until(alone_until);
      continue;
    }
    who.insert_or_assign(task, now);
    return {.which = i};
  }
  if (a.again) a.closed = nullptr;
  return a;
}

void accounts::replace(std::map<std::string, pause> known, wall_time began) {
  for (auto& [account, p] : known)
    if (!p.until && p.since < began) p.until = p.since;
  pauses_ = std::move(known);
  // Who was let go before an account was paused anew tells nothing of it.
  std::erase_if(first_, [&](const auto& went) { return !pauses_.contains(went.first); });
  for (auto& [account, who] : first_)
    std::erase_if(who, [&, since = pauses_.at(account).since](const auto& one) {
      return one.second < since;
    });
}

}  // namespace remora::supervise

#include "run/account_book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <remora/core/text.hpp>

namespace remora::run {
namespace {

using namespace std::chrono_literals;

/// So late is noticed, at most, what another run learnt, or that the machine was suspended.
constexpr auto longest_sleep = 60s;
/// A thousand tasks that ask are not a thousand looks at a directory.
constexpr auto longest_ignorance = 100ms;

}  // namespace

account_book::account_book(clock& time, io::timers& timers, shared_pauses& shared, hooks on)
    : time_(time),
      shared_(shared),
      on_(std::move(on)),
      began_(time.wall()),
      accounts_(static_cast<std::uint64_t>(began_.time_since_epoch().count())),
      wake_(timers, [this] {
        look_again();
        on_.changed();
      }) {}

/// Where many ask at once, once.
void account_book::learn(bool now) {
  if (!now && learnt_ && time_.now() - *learnt_ < longest_ignorance) return;
  learnt_ = time_.now();
  auto known = shared_.read();
  if (!known) return;
  for (const auto& [account, p] : untold_) known->insert_or_assign(account, p);
  for (auto& [account, p] : *known)
    if (p.since > time_.wall()) p.since = {};  // by a clock that was ahead: long ago
  accounts_.replace(std::move(*known), began_);
}

std::optional<account_book::reply> account_book::ask(const request& r) {
  learn(false);
  const auto answer = accounts_.ask(r.task, r.accounts, time_.wall(), r.longest);
  if (answer.which) return reply{answer.which, {}, {}};
  if (answer.again) {
    call_at(*answer.again);
    return {};
  }
  for (const std::string& account : r.accounts)  // none of them is open
    closed_.insert_or_assign(account, accounts_.pauses().at(account));
  return reply{{}, answer.account, *answer.closed};
}

bool account_book::wait(request r, std::function<void(const reply&)> then) {
  if (const auto now = ask(r)) {
    then(*now);
    return false;
  }
  const std::size_t task = r.task;
  waiting_.insert_or_assign(task, waiter{std::move(r), std::move(then)});
  on_.leave(task);
  on_.changed();  // another one has its place
  return true;
}

void account_book::failed(const std::string& account, const agent::outcome& why) {
  std::optional<supervise::milliseconds> reset;
  if (const auto at = parse_iso8601(why.detail))
    reset = std::chrono::ceil<supervise::milliseconds>(*at - time_.wall());
  learn(true);
  const wall_time now = std::max(time_.wall(), began_);  // a clock may be set back
  const supervise::pause& p = accounts_.failed(account, why, reset, now);
  if (shared_.set(account, p))
    untold_.erase(account);
  else
    untold_.insert_or_assign(account, p);
  on_.tell(account, &p);
}

void account_book::turn_through(const std::string& account, std::size_t task) {
  if (!accounts_.goes_first(account, task)) return;
  learn(true);
  if (!accounts_.turn_through(account, task)) return;  // paused anew meanwhile
  untold_.erase(account);
  closed_.erase(account);
  shared_.remove(account);
  on_.tell(account, nullptr);
  wake_.set(time_.now());
}

void account_book::ended(std::size_t task) {
  if (accounts_.ended(task)) wake_.set(time_.now());
}

void account_book::look_again() {
  std::vector<std::pair<std::function<void(const reply&)>, reply>> decided;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const std::size_t task = at->first;
    if (!on_.enter(task)) break;
    if (auto now = ask(at->second.what)) {
      decided.emplace_back(std::move(at->second.then), std::move(*now));
      at = waiting_.erase(at);
    } else {
      on_.leave(task);
      ++at;
    }
  }
  for (const auto& [then, answer] : decided) then(answer);
}

void account_book::call_at(wall_time t) {
  const auto wait = std::clamp<wall_time::duration>(t - time_.wall(), 0s, longest_sleep);
  const time_point at = time_.now() + std::chrono::ceil<std::chrono::milliseconds>(wait);
  if (!wake_.at() || at < *wake_.at()) wake_.set(at);
}

std::string words_for(const std::string& account, const supervise::pause& p, const run_id& run) {
  const std::string since = iso8601(p.since);
  const std::string said =
      p.why.text.empty() ? "" : fmt::format(": {}", head_bytes(p.why.text, 200));
  if (!p.until)
    return fmt::format(
        "the login of account '{}' is refused since {}{}; log in again, then 'remora resume {}'",
        account, since, said, run.str());
  return fmt::format("account '{}' is paused since {}, until {}{}; then 'remora resume {}'",
                     account, since, iso8601(*p.until), said, run.str());
}

}  // namespace remora::run

#include "sim/timeline.hpp"

namespace remora::sim {

timeline::key timeline::at(time_point when, const life* owner, std::function<void()> what) {
  const key k{std::max(when, now_), ++order_};
  (owner && owner == stopped_ ? held_ : queue_).emplace(k, event{owner, std::move(what)});
  return k;
}

void timeline::cancel(const key& k) {
  queue_.erase(k);
  held_.erase(k);
}

bool timeline::next() {
  if (queue_.empty()) return false;
  auto first = queue_.extract(queue_.begin());
  move_to(first.key().first);
  first.mapped().what();
  return true;
}

void timeline::jump(duration d) {
  move_to(now_ + d);
}

void timeline::move_to(time_point t) {
  if (t <= now_) return;
  wall_ += std::chrono::duration_cast<wall_time::duration>(t - now_);
  now_ = t;
}

void timeline::hold(const life* owner) {
  stopped_ = owner;
  for (auto e = queue_.begin(); e != queue_.end();) {
    const auto following = std::next(e);
    if (e->second.owner == owner) held_.insert(queue_.extract(e));
    e = following;
  }
}

void timeline::go_on(const life* owner) {
  if (stopped_ != owner) return;
  stopped_ = nullptr;
  queue_.merge(held_);
}

void timeline::forget(const life* owner) {
  if (stopped_ == owner) stopped_ = nullptr;
  for (auto* events : {&queue_, &held_})
    std::erase_if(*events, [owner](const auto& e) { return e.second.owner == owner; });
}

}  // namespace remora::sim

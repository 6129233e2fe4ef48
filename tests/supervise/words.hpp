// A step of the machine in words, so that a test is a table that people can read.
//   save turn            a routine checkpoint; `save(final) exit`, `save(unfrozen) timed out: wall`
//   end failed/1 +       an attempt's end, counted; `-`: not counted
//   finish failed failed/1
#pragma once

#include <fmt/format.h>
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <remora/supervise/task_machine.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::supervise::test {

using namespace std::chrono_literals;

inline const time_point t0{1h};

inline std::string words(const agent::outcome& o) {
  const auto verdict = std::string(agent::name(o.verdict));
  return o.detail.empty() ? verdict : verdict + "/" + o.detail;
}

struct say {
  std::string operator()(const prepare&) const { return "prepare"; }
  std::string operator()(const ask& a) const { return fmt::format("ask {}", a.agent); }
  std::string operator()(const spawn& a) const { return fmt::format("spawn {}", a.attempt); }
  std::string operator()(const freeze&) const { return "freeze"; }
  std::string operator()(const thaw&) const { return "thaw"; }
  std::string operator()(const send_signal&) const { return "signal"; }
  std::string operator()(const kill&) const { return "kill"; }
  std::string operator()(const save& a) const {
    return fmt::format("save{}{} {}", a.final ? "(final)" : "", a.unfrozen ? "(unfrozen)" : "",
                       a.reason);
  }
  std::string operator()(const quarantine&) const { return "quarantine"; }
  std::string operator()(const end_attempt& a) const {
    return fmt::format("end {} {}", words(a.outcome), a.counted ? "+" : "-");
  }
  std::string operator()(const look&) const { return "look"; }
  std::string operator()(const ask_for_note&) const { return "ask for a note"; }
  std::string operator()(const back_off& a) const {
    return fmt::format("back_off {}ms", a.base.count());
  }
  std::string operator()(const verify&) const { return "verify"; }
  std::string operator()(const publish&) const { return "publish"; }
  std::string operator()(const finish& a) const {
    return fmt::format("finish {} {}", name(a.outcome), words(a.last));
  }
};

inline std::string words(const step& s) {
  std::string text;
  for (const auto& a : s.actions)
    if (!std::holds_alternative<look>(a)) text += (text.empty() ? "" : ", ") + std::visit(say{}, a);
  return text;
}

template <class T>
const T* find(const step& s) {
  for (const auto& a : s.actions)
    if (const auto* one = std::get_if<T>(&a)) return one;
  return nullptr;
}

/// A machine with its time, which goes on only where a test says so.
class driven {
 public:
  explicit driven(limits l = {}, std::uint64_t seed = 1) : machine(l, seed) {}

  std::string tell(const fact& f, milliseconds after = 0ms) {
    now += after;
    std::string text = make(f);
    if (find<ask>(last) && grants) {
      text = text.substr(0, text.rfind("ask"));
      return text + make(allowed{.agent = find<ask>(last)->agent, .words = {}});
    }
    looked = find<look>(last) != nullptr;
    if (!looked) return text;
    ++looks;
    const std::string then = make(lively ? fact(alive{}) : fact(silent{}));
    return text.empty() || then.empty() ? text + then : text + ", " + then;
  }
  /// Lets time pass to the nearest deadline that is more than a look, and tells it.
  std::string wait() {
    std::string text;
    do {
      BOOST_REQUIRE(last.wake_at.has_value());
      now = std::max(now, *last.wake_at);
      text = tell(deadline{});
    } while (looked && text.empty() && !lively);
    return text;
  }
  /// Answers the newest checkpoint.
  std::string answer(bool changed = true, milliseconds after = 0ms) {
    return tell(saved{.token = token, .changed = changed, .progressed = changed}, after);
  }
  std::string answer_failed(milliseconds after = 0ms) {
    return tell(save_failed{.token = token, .why = "disk full"}, after);
  }
  /// To `running`, with the first or the next attempt.
  void run() {
    if (machine.phase() == phase::idle) tell(begin{});
    if (machine.phase() == phase::waiting) wait();
    if (machine.phase() == phase::preparing) tell(prepared{});
    tell(started{});
    BOOST_REQUIRE(machine.phase() == phase::running);
  }
  /// From `running` through an exit by itself; the answer is that of the final checkpoint.
  std::string exit(agent::verdict v, std::string detail = {}, bool changed = true) {
    tell(exited{{v, std::move(detail), {}}});
    tell(emptied{});
    return answer(changed);
  }
  std::string where() const { return std::string(name(machine.phase())); }
  /// Nothing: -1.
  std::int64_t wakes_in() const {
    if (!last.wake_at) return -1;
    return std::chrono::duration_cast<milliseconds>(*last.wake_at - now).count();
  }

  /// One step, with no answer to what it asks.
  std::string make(const fact& f) {
    last = machine.on(f, now);
    for (const auto& a : last.actions)
      if (const auto* s = std::get_if<save>(&a)) token = s->token;
    return words(last);
  }

  task_machine machine;
  time_point now = t0;
  bool lively = false;  ///< what a look finds
  bool grants = true;   ///< whoever asks may start
  bool looked = false;  ///< the last `tell` was asked to
  int looks = 0;
  step last;
  std::uint64_t token = 0;
};

/// No deadline but `wall`, no routine checkpoints: what a test is about is all that happens.
inline limits quiet() {
  limits l;
  l.wall = 100s;
  l.checkpoints = {.turns = 0, .mutations = false, .interval = 0ms, .min_gap = 0ms};
  return l;
}

}  // namespace remora::supervise::test

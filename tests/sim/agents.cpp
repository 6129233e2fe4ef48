// What processes do, each step from the seed.
#include "sim/child.hpp"
#include "sim/world.hpp"

namespace remora::sim {
namespace {

using namespace std::chrono_literals;

bool is_jsonl(const world& w, const virtual_process& p) {
  return w.plan.agents.at(p.agent).adapter == "jsonl";
}

void say(world& w, virtual_process& p, std::string line) {
  if (!p.child) return;  // nobody reads its pipe
  line += '\n';
  w.disk.attempts[p.name].out += line;
  if (p.child) p.child->report(process::out_bytes{std::move(line)});
}

void exit_now(world& w, virtual_process& p, exit_status status) {
  if (p.exited) return;
  p.exited = true;
  w.note("{} {}", p.name, status.text());
  if (p.child) p.child->report(process::exited{status});
  if (!p.lingers)
    w.time.after(w.random.between(0ms, 30ms), nullptr, [&w, &p] { end_tree(w, p, true); });
}

void step(world& w, virtual_process& p);

void later(world& w, virtual_process& p) {
  const bool slow = !w.calm && w.random.one_in(15);
  w.time.after(slow ? w.random.between(5s, 60s) : w.random.between(w.pace / 100, w.pace), nullptr,
               [&w, &p] { step(w, p); });
}

void work(world& w, virtual_process& p, worktree& slot, units missing) {
  const units piece = missing & (~missing + 1);
  slot.work |= piece;
  w.note("{} does {:b} in {}", p.name, piece, p.slot);
  if (is_jsonl(w, p)) {
    say(w, p,
        fmt::format(R"({{"type":"tool_call","id":"{0}","name":"write","mutates":true}})", piece));
    say(w, p, fmt::format(R"({{"type":"tool_result","id":"{0}","ok":true,"text":"{0}"}})", piece));
    if (w.random.one_in(2)) say(w, p, R"({"type":"turn_ended"})");
  } else {
    say(w, p, fmt::format("did {}", piece));
  }
}

/// An error of its account; a `text` agent has no words for it.
void say_error(world& w, virtual_process& p, std::string_view kind, const std::string& retry_at) {
  if (p.what == program::agent && is_jsonl(w, p))
    say(w, p,
        fmt::format(R"({{"type":"error","kind":"{}","text":"no","retry_at":"{}"}})", kind,
                    retry_at));
  exit_now(w, p, exit_status::exited(1));
}

void meet_fate(world& w, virtual_process& p) {
  switch (p.fate) {
    case fate::fail:
      return exit_now(w, p, exit_status::exited(1 + static_cast<int>(w.random.below(3))));
    case fate::die:
      return exit_now(w, p, exit_status::killed(w.random.one_in(2) ? 9 : 11));
    case fate::meet_limit:
      return say_error(w, p, "rate_limited",
                       w.random.one_in(2) ? iso8601(w.time.wall() + w.random.between(1s, 3h)) : "");
    case fate::meet_login:
      return say_error(w, p, "auth", "");
    case fate::hang:
    case fate::complete:
      return;
  }
}

void step(world& w, virtual_process& p) {
  if (!p.alive || p.exited) return;
  if (p.frozen) {
    p.held_up = true;
    return;
  }
  if (p.fate != fate::complete && p.steps-- == 0) return meet_fate(w, p);
  const auto slot = w.disk.slots.find(p.slot);
  if (slot == w.disk.slots.end()) return exit_now(w, p, exit_status::exited(2));
  const units missing = w.goals[p.task] & ~slot->second.work;
  if (p.what != program::agent)
    return exit_now(w, p, exit_status::exited(p.what == program::verify && missing != 0 ? 1 : 0));
  slot->second.used = true;
  if (missing == 0) {
    if (is_jsonl(w, p)) say(w, p, R"({"type":"finished","ok":true,"text":"done"})");
    return exit_now(w, p, exit_status::exited(0));
  }
  if (w.meets)
    if (const auto met = w.meets(p)) return say_error(w, p, met->kind, met->retry_at);
  work(w, p, slot->second, missing);
  later(w, p);
}

}  // namespace

void begin_process(world& w, virtual_process& p) {
  if (w.goes_wrong(w.odds.agent)) {
    p.fate = static_cast<fate>(w.random.between(1, 5));
    p.steps = w.random.below(4);
  }
  p.lingers = w.random.one_in(4);
  p.ignores_signals = w.random.one_in(4);
  later(w, p);
}

void ask_to_exit(world& w, virtual_process& p, int signal) {
  if (!p.alive || p.exited || p.ignores_signals) return;
  w.time.after(w.random.between(5ms, 1500ms), nullptr, [&w, &p, signal] {
    if (p.alive && !p.frozen) exit_now(w, p, exit_status::killed(signal));
  });
}

void kill_tree(world& w, virtual_process& p) {
  if (!p.alive) return;
  const bool stuck = w.goes_wrong(w.odds.agent * 20);  // in an uninterruptible call
  const auto takes = stuck ? w.random.between(3s, 40s) : w.random.between(1ms, 100ms);
  w.time.after(takes, nullptr, [&w, &p] {
    if (!p.alive) return;
    p.lingers = true;  // its end is told here
    exit_now(w, p, exit_status::killed(9));
    end_tree(w, p, true);
  });
}

void end_tree(world& w, virtual_process& p, bool proven) {
  if (!p.alive) return;
  p.alive = false;
  w.note("{} is gone", p.name);
  if (p.child) p.child->report(process::emptied{proven, 0});
}

void freeze_tree(world& w, virtual_process& p) {
  const bool lost = w.goes_wrong(w.odds.agent * 4);
  w.time.after(w.random.between(0ms, 80ms), nullptr, [&w, &p, lost] {
    if (!p.alive) return;
    p.frozen = !lost;
    w.note("{} is {}", p.name, lost ? "not frozen" : "frozen");
    if (p.child) p.child->report(process::frozen{!lost});
  });
}

void thaw_tree(world& w, virtual_process& p) {
  w.time.after(1ms, nullptr, [&w, &p] {
    if (!p.alive) return;
    p.frozen = false;
    if (p.child) p.child->report(process::thawed{});
    if (std::exchange(p.held_up, false)) later(w, p);
  });
}

}  // namespace remora::sim

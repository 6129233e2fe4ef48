// Random walks: a world that answers what the machine asks for, sometimes late, sometimes wrongly,
// and rules that must hold in every state.
//
//     REMORA_WALK_SEEDS=1000000 REMORA_WALK_EVENTS=200 tests/test_supervise --run_test=walk
//
// REMORA_WALK_FROM is the first seed. Without EVENTS each walk goes on to its end.
#include <cstdlib>
#include <deque>
#include <memory>
#include <set>

#include "dice.hpp"

using namespace remora;
using namespace remora::supervise;
using namespace remora::supervise::test;
using agent::verdict;

namespace {

#ifdef NDEBUG
constexpr std::uint64_t default_seeds = 20'000;
#else
constexpr std::uint64_t default_seeds = 2'000;
#endif
constexpr std::uint64_t longest_walk = 50'000;

std::uint64_t told(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

enum class tree { none, starting, running, frozen, exited };

/// The run room as the machine may expect it, and what must be true of what it is asked for.
class world {
 public:
  /// `ends`: gets the verdicts that were told.
  world(std::uint64_t seed, std::set<verdict>& ends)
      : seed_(seed),
        ends_(ends),
        dice_(seed),
        limits_(random_limits(dice_)),
        gets_nowhere_(dice_.one_in(8)) {
    machine_ = std::make_unique<task_machine>(limits_, seed);
    tell(begin{});
  }
  bool over() const { return finished_; }
  phase where() const { return machine_->phase(); }
  void walk();
  void walk_on_after_the_end();

 private:
  struct asked {
    std::uint64_t token;
    bool final;
  };

  void tell(const fact& f);
  void tell_deadline();
  void pass_time(std::uint64_t most_ms) { now_ += milliseconds(dice_.below(most_ms + 1)); }
  bool answer_the_runner();
  bool move_the_tree();
  void live();
  void check_state(const step& s);
  void must(bool holds, const char* rule) {
    if (!holds)
      BOOST_FAIL(rule << "\n"
                      << story_ << "again: REMORA_WALK_SEEDS=1 REMORA_WALK_FROM=" << seed_
                      << " tests/test_supervise --run_test=walk");
  }

  void perform(const prepare&);
  void perform(const ask& a);
  void perform(const spawn& a);
  void perform(const freeze&);
  void perform(const thaw&);
  void perform(const send_signal&);
  void perform(const kill&);
  void perform(const save& a);
  void perform(const quarantine&);
  void perform(const end_attempt& a);
  void perform(const look&) { look_asked_ = true; }
  void perform(const ask_for_note&) { note_asked_ = true; }
  void perform(const back_off&);
  void perform(const verify&);
  void perform(const publish&);
  void perform(const finish& a);

  std::uint64_t seed_;
  std::set<verdict>& ends_;
  dice dice_;
  limits limits_;
  bool gets_nowhere_;  ///< no agent changes or finds anything
  std::unique_ptr<task_machine> machine_;
  time_point now_ = t0;
  std::optional<time_point> wake_at_;

  bool preparing_ = false, asked_ = false, verifying_ = false, publishing_ = false;
  bool slot_ = false, quarantined_ = false;
  tree tree_ = tree::none;
  bool killed_ = false, signalled_ = false, freeze_asked_ = false, saved_frozen_ = false;
  std::deque<asked> saves_;
  std::uint64_t last_token_ = 0;
  std::optional<std::uint64_t> routine_;  ///< in flight
  std::optional<time_point> last_save_;
  bool unsaved_turn_ = false;
  bool ended_ = true, lived_ = false, final_asked_ = false;
  std::uint32_t attempt_ = 0, counted_ = 0, agent_ = 0;
  bool look_asked_ = false, note_asked_ = false;
  bool stopped_ = false, finished_ = false;
  std::string story_;
};

void world::tell(const fact& f) {
  const auto s = machine_->on(f, now_);
  story_ += fmt::format("{} ms: fact {} → {} [{}]\n", (now_ - t0) / 1ms, f.index(),
                        name(machine_->phase()), words(s));
  if (story_.size() > 8'000) story_.erase(0, 4'000);
  for (const auto& a : s.actions) {
    must(!finished_, "nothing follows finish");
    std::visit([&](const auto& known) { perform(known); }, a);
  }
  wake_at_ = s.wake_at;
  check_state(s);
}

void world::check_state(const step& s) {
  const auto p = machine_->phase();
  must(machine_->attempt() == attempt_, "attempts are numbered one by one");
  must(machine_->counted() == counted_, "what counts is what was told");
  must(counted_ <= limits_.attempts, "no more lives than allowed");
  if (finished_) {
    must(p == phase::finished && !s.wake_at, "finished has no deadline");
    return;
  }
  must(p != phase::finished, "the end is told");
  const bool runner_busy =
      preparing_ || asked_ || verifying_ || publishing_ || tree_ == tree::starting;
  must(s.wake_at || runner_busy, "somebody must move: a deadline or the runner");
  const bool waits = p == phase::running || p == phase::freezing || p == phase::grace ||
                     p == phase::emptying || p == phase::saving || p == phase::waiting;
  must(waits == s.wake_at.has_value(), "who waits has a deadline");
  if (p != phase::running || limits_.checkpoints.turns != 1) return;
  const bool soon = last_save_ && *s.wake_at <= *last_save_ + 60s;
  must(!unsaved_turn_ || routine_ || soon, "a checkpoint is postponed and never dropped");
}

void world::perform(const prepare&) {
  must(!slot_ || quarantined_, "a slot that is in order is kept");
  must(tree_ == tree::none || quarantined_, "nobody lives in it");
  preparing_ = true;
  slot_ = false;
}

void world::perform(const ask& a) {
  must(slot_ && !quarantined_ && ended_ && !stopped_, "asked when all else is ready");
  must(a.agent >= agent_ && a.agent < limits_.agents, "no agent that did not help comes back");
  agent_ = a.agent;
  asked_ = true;
}

void world::perform(const spawn& a) {
  must(std::exchange(asked_, false), "nobody starts who was not allowed to");
  must(slot_ && !quarantined_, "an attempt starts in a slot in order");
  must(tree_ == tree::none, "two attempts never live at a time");
  must(ended_ && !stopped_ && a.attempt == attempt_ + 1, "one after the other, none after a stop");
  tree_ = tree::starting;
  attempt_ = a.attempt;
  ended_ = lived_ = final_asked_ = killed_ = signalled_ = freeze_asked_ = saved_frozen_ = false;
  unsaved_turn_ = false;
}

void world::perform(const freeze&) {
  must(tree_ == tree::running && !freeze_asked_, "only a running tree is frozen, and once");
  freeze_asked_ = true;
}

void world::perform(const thaw&) {
  must(freeze_asked_ && signalled_, "the signal is queued before the thaw");
  if (tree_ == tree::frozen) tree_ = tree::running;
}

void world::perform(const send_signal&) {
  must(saved_frozen_ && !signalled_ && !killed_, "nobody is signalled before a checkpoint");
  signalled_ = true;
}

void world::perform(const kill&) {
  must(!killed_ && tree_ != tree::none && tree_ != tree::starting, "one KILL, for who lives");
  killed_ = true;
}

void world::perform(const save& a) {
  must(a.token == ++last_token_, "tokens grow");
  must(!a.reason.empty() && !ended_, "a checkpoint has a reason and an attempt");
  if (a.final) {
    must(tree_ == tree::none || quarantined_, "the final one is of a tree without anybody");
    final_asked_ = true;
  } else if (freeze_asked_) {
    must(!saved_frozen_, "one checkpoint while frozen");
    must(a.unfrozen || tree_ != tree::running, "what was not frozen is marked");
    saved_frozen_ = true;
  } else {
    must(!routine_, "one in flight");
    must(!last_save_ || now_ - *last_save_ >= limits_.checkpoints.min_gap, "min_gap apart");
    routine_ = a.token;
  }
  unsaved_turn_ = false;
  last_save_ = now_;
  saves_.push_back({a.token, a.final});
}

void world::perform(const quarantine&) {
  must(slot_ && !quarantined_, "a slot is given up once");
  quarantined_ = true;
}

void world::perform(const end_attempt& a) {
  must(!ended_, "an attempt ends once");
  must(!lived_ || final_asked_, "an attempt that lived is saved when nobody is left");
  must(tree_ == tree::none || quarantined_, "an attempt ends when nobody is left");
  ended_ = true;
  ends_.insert(a.outcome.verdict);
  if (a.counted) ++counted_;
}

void world::perform(const back_off&) {
  must(ended_ || !slot_, "an attempt's end is told before its back-off, but that for its slot");
}

void world::perform(const verify&) {
  must(slot_ && !quarantined_ && limits_.verifies && !ended_ && !stopped_, "verified in its slot");
  verifying_ = true;
}

void world::perform(const publish&) {
  must(ended_ && (tree_ == tree::none || quarantined_), "published after the attempt's end");
  publishing_ = true;
}

void world::perform(const finish& a) {
  must(ended_, "each attempt's end is told");
  must(tree_ == tree::none || quarantined_, "nobody is left behind");
  must(a.outcome != task_outcome::succeeded || publishing_, "success is published");
  ends_.insert(a.last.verdict);
  finished_ = true;
}

void world::tell_deadline() {
  now_ = std::max(now_, *wake_at_);
  if (dice_.one_in(20)) now_ += 1h;
  tell(deadline{});
  must(!wake_at_ || *wake_at_ > now_, "the next deadline lies ahead");
}

bool world::answer_the_runner() {
  if (preparing_ && dice_.one_in(2)) {
    preparing_ = false;
    if (dice_.one_in(40))
      return tell(prepare_failed{verdict::setup_failed, {}, dice_.one_in(2)}), true;
    slot_ = true;
    quarantined_ = false;
    tree_ = tree::none;
    return tell(prepared{}), true;
  }
  if (asked_ && dice_.one_in(2)) {
    if (!dice_.one_in(200)) return tell(allowed{}), true;
    return tell(denied{{dice_.of({verdict::rate_limited, verdict::auth_failed}), {}, {}}}), true;
  }
  if (verifying_ && dice_.one_in(2)) {
    verifying_ = false;
    return tell(verified{!dice_.one_in(3)}), true;
  }
  if (publishing_ && dice_.one_in(2)) {
    if (dice_.one_in(10)) return tell(publish_failed{}), true;
    return tell(published{}), true;
  }
  if (!saves_.empty() && dice_.one_in(3)) {
    const auto s = saves_.front();
    saves_.pop_front();
    const bool changed = !gets_nowhere_ && dice_.one_in(2);
    if (changed && tree_ == tree::running) tell(worktree_changed{});
    if (routine_ == s.token) routine_.reset();
    if (dice_.one_in(10)) return tell(save_failed{s.token, "disk full"}), true;
    return tell(saved{s.token, changed, !gets_nowhere_ && dice_.one_in(2),
                      milliseconds(dice_.below(2'000))}),
           true;
  }
  return false;
}

bool world::move_the_tree() {
  if (tree_ == tree::starting && dice_.one_in(2)) {
    if (dice_.one_in(40)) {
      tree_ = tree::none;
      return tell(spawn_failed{"ENOENT", dice_.one_in(2), dice_.one_in(2)}), true;
    }
    tree_ = tree::running;
    lived_ = true;
    return tell(started{}), true;
  }
  if (tree_ == tree::running && freeze_asked_ && !signalled_ && !killed_ && dice_.one_in(2)) {
    const bool whole = !dice_.one_in(5);
    if (whole) tree_ = tree::frozen;
    return tell(frozen{whole}), true;
  }
  const bool may_exit = tree_ == tree::running || (tree_ == tree::frozen && killed_);
  if (may_exit && dice_.one_in(killed_ || signalled_ ? 3 : 60)) {
    tree_ = tree::exited;
    return tell(exited{random_outcome(dice_)}), true;
  }
  if ((tree_ == tree::exited && killed_ && dice_.one_in(3)) ||
      (tree_ == tree::running && dice_.one_in(2'000))) {
    const bool proven = !dice_.one_in(20);
    tree_ = tree::none;
    return tell(emptied{proven}), true;
  }
  return false;
}

void world::live() {
  if (tree_ != tree::running) return tell(deadline{});
  if (std::exchange(note_asked_, false) && dice_.one_in(4)) return tell(handed_over{});
  if (std::exchange(look_asked_, false) && dice_.one_in(2))
    return dice_.one_in(2) ? tell(alive{}) : tell(silent{});
  switch (dice_.below(4)) {
    case 0:
      return tell(output{});
    case 1:
      return tell(alive{});
    case 2:
      return dice_.one_in(4) ? tell(checkpoint_requested{}) : tell(mutated{});
    default:
      break;
  }
  unsaved_turn_ = machine_->phase() == phase::running;
  tell(turn_ended{});
}

void world::walk() {
  pass_time(dice_.of({0u, 50u, 3'000u}));
  if (dice_.one_in(400)) {
    stopped_ = true;
    const auto kind = dice_.one_in(3) ? stop_kind::cancel : stop_kind::interrupt;
    return tell(stop{kind, dice_.one_in(3)});
  }
  if (tree_ == tree::running && dice_.one_in(2'000)) return tell(over_budget{"tokens", {}});
  if (dice_.one_in(2'000)) return tell(woke{});
  if (wake_at_ && (now_ >= *wake_at_ || dice_.one_in(8))) return tell_deadline();
  if (answer_the_runner() || move_the_tree()) return;
  live();
}

void world::walk_on_after_the_end() {
  const auto attempts = attempt_;
  for (const fact& f : std::initializer_list<fact>{
           begin{}, prepared{}, allowed{}, denied{}, started{}, output{}, exited{}, emptied{},
           saved{last_token_}, verified{}, published{}, deadline{}, stop{}, over_budget{}, woke{}})
    tell(f);
  must(attempts == machine_->attempt(), "nothing begins after the end");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(walk)

BOOST_AUTO_TEST_CASE(P13_in_every_state_of_a_random_walk_the_rules_hold) {
  const auto from = told("REMORA_WALK_FROM", 0), seeds = told("REMORA_WALK_SEEDS", default_seeds);
  const auto events = told("REMORA_WALK_EVENTS", longest_walk);
  std::uint64_t steps = 0;
  std::set<phase> seen;
  std::set<verdict> ends;
  for (std::uint64_t seed = from; seed < from + seeds; ++seed) {
    world w(seed, ends);
    for (std::uint64_t step = 0; !w.over() && step < events; ++step) {
      w.walk();
      seen.insert(w.where());
      ++steps;
    }
    if (w.over())
      w.walk_on_after_the_end();
    else
      BOOST_REQUIRE_MESSAGE(events < longest_walk, "the walk of seed " << seed << " has no end");
  }
  if (seeds < default_seeds) return;
  BOOST_TEST(steps < seeds * 2'000);
  BOOST_TEST(seen.size() == 12u);  // all phases but `idle`
  for (int v = 0; v <= static_cast<int>(verdict::cancelled); ++v)
    if (const auto one = static_cast<verdict>(v); one != verdict::orphaned)  // of the next life
      BOOST_TEST(ends.contains(one), agent::name(one) << " was never reached");
}

BOOST_AUTO_TEST_CASE(facts_in_any_order_end_each_attempt_once) {
  const auto steps = told("REMORA_WALK_SEEDS", default_seeds) * 200;
  dice d(42);
  auto machine = std::make_unique<task_machine>(random_limits(d));
  auto now = t0;
  std::uint32_t spawned = 0, ended = 0;
  for (std::uint64_t i = 0; i < steps; ++i) {
    now += milliseconds(d.below(3'000));
    for (const auto& a : machine->on(any_fact(d), now).actions) {
      spawned += std::holds_alternative<spawn>(a) ? 1 : 0;
      ended += std::holds_alternative<end_attempt>(a) ? 1 : 0;
    }
    BOOST_REQUIRE((spawned == ended || spawned == ended + 1));
    if (machine->phase() != phase::finished) continue;
    BOOST_REQUIRE(spawned == ended);
    machine = std::make_unique<task_machine>(random_limits(d), i);
  }
  BOOST_TEST(spawned > steps / 1'000);
}

BOOST_AUTO_TEST_SUITE_END()

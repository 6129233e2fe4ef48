#include "sim/scenario.hpp"

#include <algorithm>

#include "sim/checker.hpp"
#include "sim/life.hpp"

namespace remora::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t most_steps = 300'000, most_lives = 60;
constexpr std::uint64_t usual_steps = 1500;  ///< of one life: disasters come within them

enum class disaster { crash, power_cut, interrupt, jump, stop, meddle };

struct planned {
  std::uint64_t step;
  disaster what;
};

class scenario {
 public:
  scenario(std::uint64_t seed, std::uint64_t most_tasks, bool tracing) : w_(seed, most_tasks) {
    w_.tracing = tracing;
    plan_disasters();
  }

  verdict play() {
    begin(true);
    while (w_.violation.empty() && !over_) turn();
    verdict v{w_.violation, w_.trace, steps_, lives_};
    stopped_.reset();
    active_.reset();
    return v;
  }

 private:
  void plan_disasters() {
    const std::uint64_t count = w_.random.below(5);
    for (std::uint64_t i = 0; i < count; ++i) {
      // Most come early, where the short runs are; a few come together.
      const std::uint64_t within = usual_steps >> w_.random.below(6);
      disasters_.push_back(
          {steps_ + w_.random.below(within), static_cast<disaster>(w_.random.below(5))});
    }
    if (w_.odds.meddle > 0)
      disasters_.push_back({steps_ + w_.random.below(usual_steps), disaster::meddle});
    calm_from_ = steps_ + 4 * usual_steps;
    std::ranges::sort(disasters_, std::ranges::greater(), &planned::step);
  }

  void begin(bool anew) {
    if (++lives_ > most_lives) return w_.broken("the run does not come to its end");
    active_ = std::make_unique<life>(w_);
    w_.note("--- orchestrator {} ---", lives_);
    anew ? active_->run() : active_->resume();
  }

  /// What is begun goes on as a rerun, now and then; else as the same run.
  void go_on() {
    if (!w_.random.one_in(8) || !rerun()) begin(false);
  }

  bool rerun() {
    if (stopped_ || !w_.begin_rerun()) return false;
    w_.note("=== rerun ===");
    plan_disasters();
    begin(true);
    return true;
  }

  void run_over() {
    w_.check->over();
    if (!w_.violation.empty() || !w_.random.one_in(2) || !rerun()) over_ = true;
  }

  void turn() {
    if (++steps_ > most_steps) return w_.broken("the run does not come to its end");
    if (!disasters_.empty() && disasters_.back().step <= steps_) return strike();
    if (disasters_.empty() && steps_ > calm_from_) w_.calm = true;
    const bool stepped = active_->step();
    if (w_.power_fails) return fail_power();
    if (active_->has_ended()) return end_life();
    if (stopped_ && stopped_->has_ended()) return stopped_.reset();
    if (stepped || (stopped_ && stopped_->step())) return;
    if (!w_.time.next()) w_.broken("nothing is left to happen, and the run has not ended");
    if (w_.power_fails) fail_power();
  }

  void strike() {
    const disaster what = disasters_.back().what;
    disasters_.pop_back();
    switch (what) {
      case disaster::crash:
        w_.note("the orchestrator crashes");
        return crash();
      case disaster::power_cut:
        return fail_power();
      case disaster::interrupt:
        w_.note("Ctrl-C");
        return active_->interrupt();
      case disaster::jump:
        w_.note("time jumps");
        return w_.time.jump(w_.random.between(1s, 600s));
      case disaster::stop:
        return take_over();
      case disaster::meddle:
        return w_.meddle_with_refs();
    }
  }

  void crash() {
    if (w_.disk.owner == active_.get()) w_.disk.owner = nullptr;
    w_.orphan(active_.get());
    active_.reset();
    go_on();
  }

  void fail_power() {
    w_.disk.owner = nullptr;
    stopped_.reset();
    active_.reset();
    w_.cut_power();
    go_on();
  }

  /// The orchestrator is stopped; somebody ends its agents and gives the run to another one. Later
  /// the first one goes on.
  void take_over() {
    if (stopped_ || w_.disk.owner != active_.get()) return;
    w_.note("the orchestrator is stopped, and its run taken over");
    active_->stopped = true;
    w_.time.hold(active_.get());
    stopped_ = std::move(active_);
    w_.disk.owner = nullptr;
    for (const auto& p : w_.processes)
      if (p->alive && p->owner == stopped_.get()) end_tree(w_, *p, true);
    w_.time.after(w_.random.between(0ms, 30'000ms), nullptr, [this, who = stopped_.get()] {
      if (stopped_.get() != who) return;
      w_.note("the one that was stopped goes on");
      who->stopped = false;
      w_.time.go_on(who);
    });
    begin(false);
  }

  void end_life() {
    const std::unique_ptr<life> ended = std::move(active_);
    if (w_.disk.owner == ended.get()) w_.disk.owner = nullptr;
    if (ended->exception()) {
      if (!ended->throws) w_.broken("an exception escapes from the engine");
      w_.orphan(ended.get());
      return begin(false);
    }
    w_.orphan(ended.get());
    const auto& outcome = ended->outcome();
    if (!outcome) return after_error(*ended, outcome.error());
    w_.note("it ends with {}", outcome->exit_status());
    w_.check->ended(*outcome, ended.get());
    if (outcome->interrupted == 0)
      run_over();
    else
      go_on();
  }

  void after_error(const life& ended, const error& e) {
    w_.note("it ends: {}", e.what);
    if (e.is(errc::no_match)) {
      if (w_.disk.record.ended)
        run_over();
      else if (w_.check->run_announced())
        w_.broken("the run is lost: " + e.what);
      else
        begin(true);
      return;
    }
    if (!ended.faulted) return w_.broken("it fails without a reason: " + e.what);
    begin(w_.check->run_announced() ? false : !w_.disk.journal_there);
  }

  world w_;
  std::vector<planned> disasters_;  ///< the next one last
  std::unique_ptr<life> active_, stopped_;
  std::uint64_t steps_ = 0, lives_ = 0, calm_from_ = 0;
  bool over_ = false;
};

}  // namespace

verdict play(std::uint64_t seed, std::uint64_t most_tasks, bool tracing) {
  return scenario(seed, most_tasks, tracing).play();
}

}  // namespace remora::sim

// A night: two hundred tasks, two accounts with a quota for each five hours, a login that expires,
// a network that fails for a while, and a laptop that is suspended. In the morning a person logs
// in.
#include <boost/json.hpp>

#include "sim/checker.hpp"
#include "sim/life.hpp"
#include "sim/scenario.hpp"

namespace remora::sim {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr std::size_t tasks = 200, of_one_account = 20;
constexpr std::uint64_t quota = 150;  ///< pieces of work in a window
constexpr auto window = 5h;
constexpr auto login_ends = 3h;
constexpr auto network_fails = 60min, network_is_back = 80min;
constexpr auto suspended_at = 4h, suspended_for = 2h;
constexpr std::uint64_t most_steps = 5'000'000;

run::plan make_plan() {
  run::plan p;
  p.name = "night";
  p.parallel = 8;
  p.workspace.copy.emplace();
  for (const char* name : {"one", "two"})
    p.agents[name] = agent::agent_config{.name = name,
                                         .adapter = "jsonl",
                                         .command = {"agent", name},
                                         .args = {},
                                         .pass_env = {},
                                         .account = name};
  for (std::size_t i = 0; i < tasks; ++i) {
    run::task_plan t{.id = task_id::parse(fmt::format("t{}", i)).value(),
                     .title = {},
                     .prompt = "do it",
                     .base = {},
                     .base_task = {},
                     .after = {},
                     .agents = i % 2 == 0 ? std::vector<std::string>{"one", "two"}
                                          : std::vector<std::string>{"two", "one"},
                     .limits = {},
                     .verify = {},
                     .include = {}};
    if (i >= tasks - of_one_account) t.agents = {"two"};
    t.limits.agents = static_cast<std::uint32_t>(t.agents.size());
    t.limits.wall = 15min;
    p.tasks.push_back(std::move(t));
  }
  return p;
}

class night {
 public:
  night(std::uint64_t seed, bool tracing) : w_(seed, make_plan()), began_(w_.time.wall()) {
    w_.tracing = tracing;
    w_.pace = 6min;
    w_.meets = [this](const virtual_process& p) { return meet(p); };
    w_.observe = [this](const run::record& r) { told(r); };
    w_.time.after(suspended_at, nullptr, [this] { w_.time.suspend(suspended_for); });
  }

  verdict play() {
    live(true);
    must(summary_.failed + summary_.cancelled + summary_.skipped == 0,
         "a task failed in the night");
    must(summary_.interrupted > 0, "the login did not expire");
    must(closed_told_ == 1, "the end does not say, once, whose login it is");
    for (const char* v : {"rate_limited", "auth_failed", "network", "timed_out"})
      must(verdicts_.contains(v), v);
    logged_in_ = true;
    live(false);
    must(summary_.succeeded == tasks, "not all of it was done in the morning");
    if (w_.violation.empty()) w_.check->over();
    return {w_.violation, w_.trace, steps_, lives_};
  }

 private:
  void must(bool holds, const char* what) {
    if (!holds) w_.broken(what);
  }

  void live(bool anew) {
    if (!w_.violation.empty()) return;
    ++lives_;
    life l(w_);
    anew ? l.run() : l.resume();
    while (!l.has_ended() && w_.violation.empty()) {
      if (++steps_ > most_steps) return w_.broken("the night has no end");
      if (!l.step() && !w_.time.next()) return w_.broken("nothing is left to happen");
    }
    if (!w_.violation.empty()) return;
    if (l.exception() || !l.outcome()) return w_.broken("the run ends with an error");
    summary_ = *l.outcome();
    w_.check->ended(summary_, &l);
    w_.disk.owner = nullptr;
  }

  std::optional<trouble> meet(const virtual_process& p) {
    const wall_time now = w_.time.wall();
    const auto since = now - began_;
    if (since >= network_fails && since < network_is_back) return trouble{"network", {}};
    if (p.agent == "two" && since >= login_ends && !logged_in_) return trouble{"auth", {}};
    account& a = accounts_[p.agent];
    if (now >= a.resets) a = {.used = 0, .resets = now + window};
    if (++a.used > quota) return trouble{"rate_limited", iso8601(a.resets)};
    return {};
  }

  /// At each step the journal says why.
  void told(const run::record& r) {
    const auto text = [&](std::string_view key) {
      const json::value* v = r.payload.if_contains(key);
      return v && v->is_string() ? std::string(v->get_string()) : std::string();
    };
    if (r.type == "decided") because_[text("task")] = text("because");
    if (r.type == "warning" && text("text").find("the login of account 'two'") != std::string::npos)
      ++closed_told_;
    if (r.type == "account_paused") must(!text("verdict").empty(), "a pause without a reason");
    if (r.type == "task_ended" && text("outcome") == "interrupted")
      must(text("verdict") == "auth_failed" && !text("why").empty(),
           "interrupted without a reason");
    if (r.type != "attempt_ended") return;
    const std::string verdict = text("verdict");
    verdicts_.insert(verdict);
    if (verdict != "completed")
      must(because_[text("task")].find(verdict) != std::string::npos, "an end without a reason");
  }

  struct account {
    std::uint64_t used = 0;
    wall_time resets{};
  };

  world w_;
  wall_time began_;
  std::map<std::string, account> accounts_;
  std::map<std::string, std::string> because_;  ///< of each task's last step
  std::set<std::string> verdicts_;
  run::run_summary summary_;
  std::uint64_t steps_ = 0, lives_ = 0;
  int closed_told_ = 0;
  bool logged_in_ = false;
};

}  // namespace

verdict play_night(std::uint64_t seed, bool tracing) {
  return night(seed, tracing).play();
}

}  // namespace remora::sim

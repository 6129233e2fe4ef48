#include "run/task_runner.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <exception>
#include <remora/checkpoint/foreign.hpp>
#include <remora/core/units.hpp>

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};

/// Two clocks are read one after the other.
constexpr std::chrono::seconds shortest_suspend{1};

std::uint64_t jitter_seed(const run_id& run, const task_id& task) {
  return std::hash<std::string>{}(run.str() + task.str());
}

agent::state fresh_mind(const run_context& run, const task_plan& task) {
  return agent::state(run.id.str(), task.id.str(), task.prompt);
}

}  // namespace

task_runner::task_runner(run_context& run, const task_plan& task, task_start start,
                         std::unique_ptr<task_store> store)
    : run_(run),
      task_(task),
      index_(static_cast<std::size_t>(&task - run.what.tasks.data())),
      start_(std::move(start)),
      store_(std::move(store)),
      machine_(task.limits, jitter_seed(run.id, task.id)),
      inbox_(run.loop),
      work_(run.loop, [this] { inbox_.post(part_failed()); }),
      starts_(run.loop, [this] { inbox_.post(part_failed()); }),
      pumps_(run.loop, [this] { inbox_.post(part_failed()); }),
      wake_(run.timers, [this] { post(supervise::deadline()); }),
      asleep_(run.timers.suspended()),
      mind_(start_.mind ? *start_.mind : fresh_mind(run, task)),
      attempt_(start_.made),
      start_limit_(run.timers, [this] { give_up_start(); }),
      drain_(run.timers, [this] { flush_exit(); }),
      commands_(run.host, run.timers),
      saves_ended_(run.loop),
      record_(start_.record),
      number_(start_.number),
      chain_bytes_(start_.chain_bytes),
      progress_saved_(mind_.progress()) {
  const auto& lives = mind_.attempts();
  const bool known = !lives.empty() && run.what.agents.contains(lives.back().agent);
  use_agent(known ? lives.back().agent : task.agents.front());
  unsaved_ = !start_.slot.empty();  // an agent was there, and nobody has looked since
}

asio::awaitable<supervise::task_outcome> task_runner::run() {
  began_ = run_.time.now();
  run_.tell(
      "task_started",
      about({{"base", start_.base.hex()}, {"branch", branch()}, {"agent", task_.agents.front()}}));
  std::exception_ptr failed;
  try {
    co_await work();
  } catch (...) {
    failed = std::current_exception();
  }
  wake_.set(std::nullopt);
  run_.book->withdraw(index_);
  stop_work_.request_stop();
  commands_.kill();
  if (failed_ || failed) {  // what waits for the part that failed would wait for ever
    starts_.cancel();
    work_.cancel();
  }
  try {
    co_await end_parts();
  } catch (...) {
    if (!failed) failed = std::current_exception();
  }
  if (failed) std::rethrow_exception(failed);
  co_await finish(*finished_);
  co_return finished_->outcome;
}

asio::awaitable<void> task_runner::work() {
  auto branches = co_await store_->user_branches();
  if (branches) branches_ = std::move(*branches);
  const supervise::begin begin{start_.counted, start_.made, start_.changed, start_.agent};
  if (!start_.orphaned) take_spent();
  if (publishes_only()) {
    run_.used(task_.id, so_far());
    work_.spawn("publish", publish());
  } else if (start_.orphaned) {  // what it left is saved first, and its use told
    feed(begin);
    watch_budget(true);
  } else {
    watch_budget(true);
    feed(begin);
  }
  while (!finished_ && !failed_) {
    const message m = co_await inbox_.next();
    if (const auto* fact = std::get_if<supervise::fact>(&m))
      hear(*fact);
    else if (const auto* told = std::get_if<child_told>(&m))
      on_child(*told);
    else
      failed_ = true;
  }
}

/// What the journal has of an earlier life, and the mind has not: its checkpoint is lost, or older.
void task_runner::take_spent() {
  const spending known = spent_by(mind_, run_.what, task_);
  if (start_.tokens > known.tokens) forgotten_.tokens = start_.tokens - known.tokens;
  if (start_.cost_usd > known.cost_usd) forgotten_.cost_usd = start_.cost_usd - known.cost_usd;
}

/// All of them, also where one throws. Without its child no pump has anything to wait for.
asio::awaitable<void> task_runner::end_parts() {
  std::exception_ptr failed;
  for (io::task_group* parts : {&starts_, &work_, &pumps_}) {
    if (parts == &pumps_) {
      child_.reset();
      pumps_.cancel();
    }
    try {
      co_await parts->join();
    } catch (...) {
      if (!failed) failed = std::current_exception();
    }
  }
  if (failed) std::rethrow_exception(failed);
}

// Not inlined: g++ 12 then takes the alternatives that a moved variant does not hold for
// uninitialised.
[[gnu::noinline]] void task_runner::post(supervise::fact f) {
  inbox_.post(message(std::move(f)));
}

void task_runner::stop(supervise::stop_kind kind, bool insist) {
  post(supervise::stop{kind, insist});
}

/// An agent that has said that it is done is not ended for what the run has used up meanwhile.
void task_runner::hear(const supervise::fact& f) {
  if (!finished_whole_ || !std::holds_alternative<supervise::over_budget>(f)) feed(f);
}

void task_runner::feed(const supervise::fact& f) {
  const duration asleep = run_.timers.suspended();
  const bool woke = asleep - std::exchange(asleep_, asleep) > shortest_suspend;
  if (woke) step(supervise::woke());
  step(f);
}

void task_runner::step(const supervise::fact& f) {
  const supervise::step next = machine_.on(f, run_.time.now());
  wake_.set(next.wake_at);
  if (next.decided)
    run_.tell("decided", about({{"fact", next.decided->fact},
                                {"from", name(next.decided->from)},
                                {"to", name(next.decided->to)},
                                {"because", next.decided->because}}));
  for (const supervise::action& a : next.actions) perform(a);
}

void task_runner::perform(const supervise::action& a) {
  std::visit(overloaded{
                 [&](const supervise::prepare&) { work_.spawn("prepare", prepare()); },
                 [&](const supervise::ask& q) { ask(q.agent); },
                 [&](const supervise::spawn& s) { starts_.spawn("spawn", spawn(s.attempt)); },
                 [&](const supervise::freeze&) {
                   if (child_) child_->freeze();
                 },
                 [&](const supervise::thaw&) {
                   if (child_) child_->thaw();
                 },
                 [&](const supervise::send_signal&) {
                   if (child_) child_->signal(adapter_->first_signal());
                 },
                 [&](const supervise::kill&) {
                   if (child_) child_->kill();
                 },
                 [&](const supervise::save& s) { enqueue(s); },
                 [&](const supervise::look&) { look_for_life(); },
                 [&](const supervise::ask_for_note& n) { ask_for_note(n.left); },
                 [&](const supervise::quarantine&) { quarantine(); },
                 [&](const supervise::end_attempt& e) { end_attempt(e); },
                 [&](const supervise::back_off&) { phase("backoff"); },
                 [&](const supervise::verify&) { work_.spawn("verify", verify()); },
                 [&](const supervise::publish&) { work_.spawn("publish", publish()); },
                 [&](const supervise::finish& f) { finished_ = f; },
             },
             a);
}

void task_runner::quarantine() {
  run_.tell("slot_quarantined", about({{"slot", slot_->string()}}));
  warn(fmt::format("{} is left alone: processes of its agent could not be ended", slot_->string()));
  give_up(start_.slot);
  finished_whole_ = false;  // nobody will tell that its tree is empty
  watch_budget(true);
}

void task_runner::give_up(std::string& slot) {
  if (!slot.empty()) start_.abandoned = std::exchange(slot, {});
}

void task_runner::phase(std::string_view name) {
  run_.tell("task_phase", about({{"phase", name}}));
  if (name != "preparing") run_.settled(task_.id);
}

void task_runner::warn(std::string text) {
  run_.tell("warning", about({{"text", std::move(text)}}));
}

json::object task_runner::about(json::object payload) const {
  payload.reserve(payload.size() + 2);
  payload["task"] = task_.id.str();
  if (attempt_.value() > 0) payload["attempt"] = attempt_.value();
  return payload;
}

void task_runner::end_attempt(const supervise::end_attempt& e) {
  last_outcome_ = e.outcome;
  const auto lasted =
      std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - attempt_began_);
  if (native_ && e.outcome.verdict != agent::verdict::completed)
    native_failed_ =
        out_bytes_ == 0 || e.outcome.text.find("No conversation found") != std::string::npos;
  learn_limit(e.outcome);
  mind_.end_attempt(e.outcome, ends_at_.value_or(run_.time.wall()));
  const agent::verdict v = e.outcome.verdict;
  if (v == agent::verdict::rate_limited || v == agent::verdict::auth_failed)
    run_.book->failed(account(), e.outcome);
  else if (v == agent::verdict::completed)
    run_.book->turn_through(account(), index_);
  run_.book->ended(index_);
  run_.tell("attempt_ended", about({{"verdict", agent::name(e.outcome.verdict)},
                                    {"detail", e.outcome.detail},
                                    {"text", e.outcome.text},
                                    {"counted", e.counted},
                                    {"agents_passed", e.agent},
                                    {"duration_ms", lasted.count()}}));
  child_.reset();
  parser_.reset();
  awaited_.clear();
}

/// From an attempt that somebody else may have ended.
void task_runner::learn_limit(const agent::outcome& o) {
  if (!exited_at_) return;
  const auto wall = run_.outer.ended(agent_->name, o, attempt_began_, *exited_at_);
  if (!wall) return;
  const auto age = std::chrono::floor<std::chrono::milliseconds>(*exited_at_ - attempt_began_);
  run_.tell("limit_learnt", about({{"agent", agent_->name}, {"wall_ms", wall->count()}}));
  warn(
      fmt::format("agent '{}' was ended twice by somebody else, {} after its start: from now on it "
                  "is saved and "
                  "ended after {}; 'limits.wall' of the plan can say so from the first attempt on",
                  agent_->name, format_duration(age), format_duration(*wall)));
}

std::string task_runner::branch() const {
  return checkpoint::task_branch(run_.id, task_.id);
}

std::string task_runner::aside() const {
  return checkpoint::foreign_refs(run_.id, task_.id);
}

}  // namespace remora::run

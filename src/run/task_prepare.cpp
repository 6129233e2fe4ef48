#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <remora/io/pause.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

/// A shim whose orchestrator died needs at most its own 2 s grace and the time to end what is left.
constexpr std::chrono::seconds longest_orphan_wait{10};
constexpr std::chrono::milliseconds orphan_poll{20};

}  // namespace

asio::awaitable<void> task_runner::prepare() {
  phase("preparing");
  auto lent = co_await lend_slot();
  if (!lent) {
    // What is there already may be all there is of an earlier life's work.
    const bool look_failed = lent.error().code.category() == boost::system::generic_category();
    tell_unprepared(lent.error(), look_failed && start_.made > 0);
    co_return;
  }
  if (stop_work_.stop_requested()) co_return;  // nobody waits for it any more
  auto ready = co_await set_up();
  if (!ready) {
    start_.discard = std::exchange(start_.slot, {});  // half set up
    tell_unprepared(ready.error(), false);
    co_return;
  }
  post(supervise::prepared());
}

/// `may_pass`: the task goes on at the next `resume`.
void task_runner::tell_unprepared(const error& why, bool may_pass) {
  const bool killed = why.is(errc::killed);
  if (killed && !stop_work_.stop_requested()) warn(why.what);
  post(supervise::prepare_failed{agent::verdict::setup_failed, why.what, killed,
                                 may_pass || why.is(errc::corrupt)});
}

slot_request task_runner::make_slot_request() const {
  slot_request request;
  request.reuse = start_.slot;
  request.abandoned = start_.abandoned;
  request.discard = start_.discard;
  request.branch = branch();
  request.base = start_.base;
  request.record = record_;
  request.same_run = start_.same_run || attempt_.value() > start_.made;
  request.aside = aside();
  request.rules.include = task_.include;
  request.rules.max_file_bytes = task_.max_file_bytes;
  request.rules.max_bytes = task_.max_checkpoint_bytes;
  request.rules.branch = branch();
  return request;
}

asio::awaitable<result<void>> task_runner::lend_slot() {
  co_await await_saves();
  auto settled = co_await settle_orphan();
  if (!settled) co_return settled.error();
  slot_request request = make_slot_request();
  auto made = co_await store_->make_slot(request, stop_work_.get_token());
  if (!made && !request.reuse.empty() && made.error().is(errc::vanished)) {
    warn(fmt::format("{}; the task goes on in a new worktree from its last checkpoint",
                     made.error().what));
    give_up(start_.slot);
    request = make_slot_request();
    made = co_await store_->make_slot(request, stop_work_.get_token());
  }
  if (!made) co_return made.error();
  slot_ = made->root;
  in_place_ = made->in_place;
  head_note_ = made->head_note;
  start_.slot = slot_->string();
  start_.discard.clear();
  unsaved_ = in_place_;
  const sequence lent =
      run_.tell("slot_lent", about({{"slot", start_.slot}, {"in_place", in_place_}}));
  for (const std::string& remark : made->remarks) warn(remark);
  if (!in_place_ &&
      run_.what.workspace.setup) {  // it may outlive us in there: who follows must know
    auto durable = co_await run_.log->durable(lent);
    if (!durable) co_return durable.error();
  }
  if (start_.orphaned) {
    co_await save_orphan();
  } else if (std::exchange(start_.quarantined, false) && in_place_) {
    const supervise::save left{.token = 0, .reason = "quarantined", .final = true, .ended = {}};
    co_await save_left(left);
  }
  co_return result<void>();
}

/// Waits for what a dead predecessor left running, then takes over its attempt.
asio::awaitable<result<void>> task_runner::settle_orphan() {
  const bool alone = co_await await_predecessors();
  if (!alone && stop_work_.stop_requested())
    co_return fail(errc::stopped, "stopped before what the last attempt left had ended");
  if (!alone) {
    // Nobody may share a worktree with them.
    warn(
        fmt::format("processes of attempt {} may still live; the task goes on in a new worktree "
                    "from its last checkpoint",
                    start_.made));
    give_up(start_.slot);
    give_up(start_.discard);
  }
  if (!start_.orphaned || attempt_ != *start_.orphaned) co_return result<void>();
  co_return co_await fold_orphan();
}

/// False: some of them were still alive, or could not be looked at, after the time that a shim can
/// need; or nobody has seen the end of those to whom the slot was left. A task that was never
/// interrupted has none.
asio::awaitable<bool> task_runner::await_predecessors() {
  const std::string task = task_.id.str();
  const std::string names[] = {fmt::format("{}.{}", task, start_.made),
                               fmt::format("{}.verify.{}", task, start_.made), task + ".setup"};
  const time_point until = run_.time.now() + longest_orphan_wait;
  bool empty = true;
  for (const std::string& name : names) {
    if (attempt_.value() > start_.made) break;  // of this life: the machine has seen it end
    for (;;) {
      const auto remains = store_->inspect_attempt(name);
      if (remains ? !remains->alive : remains.error().is(errc::corrupt)) {
        empty = empty && remains && remains->empty;
        break;
      }
      if (stop_work_.stop_requested() || run_.time.now() > until) co_return false;
      run_.settled(task_.id);
      co_await io::pause(run_.timers, orphan_poll);
    }
  }
  co_return !start_.quarantined || empty;
}

/// Folds the output that the predecessor's attempt left: the state after any crash is the fold of
/// `out`.
asio::awaitable<result<void>> task_runner::fold_orphan() {
  if (record_ && start_.same_run) {
    const auto sizes = co_await store_->saved_transcript(*record_, attempt_);
    if (!sizes) co_return sizes.error();
    out_saved_ = sizes->out;
    err_saved_ = sizes->err;
  }
  auto left = co_await store_->read_attempt(attempt_name(attempt_.value()));
  if (!left) co_return left.error();
  attempt_began_ = run_.time.now();
  if (auto mind = agent::state::from_json(left->state)) mind_ = std::move(*mind);
  if (!mind_.attempts().empty() && run_.what.agents.contains(mind_.attempts().back().agent))
    use_agent(mind_.attempts().back().agent);
  prompt_ = std::move(left->prompt);
  parser_ = adapter_->make_parser();
  out_lines_ = process::line_framer();
  err_lines_ = process::line_framer();
  out_bytes_ = err_bytes_ = 0;
  for (const told_event& told : read_told(left->told)) {
    const std::uint64_t at = std::clamp<std::uint64_t>(told.at, out_bytes_, left->out.size());
    fold_output(std::string_view(left->out).substr(out_bytes_, at - out_bytes_), false);
    mind_.apply(told.event);
  }
  fold_output(std::string_view(left->out).substr(out_bytes_), false);
  fold_output(left->err, true);
  take_spent();
  watch_budget(true);
  co_return result<void>();
}

void task_runner::fold_output(std::string_view bytes, bool err) {
  (err ? err_bytes_ : out_bytes_) += bytes.size();
  (err ? err_lines_ : out_lines_).feed(bytes, [&](std::string_view line) {
    std::vector<agent::event> events;
    if (err)
      parser_->err_line(line, events);
    else
      parser_->out_line(line, events);
    for (const agent::event& e : events) mind_.apply(e);
  });
}

/// What an earlier life's agents left in the slot, now that they are gone.
asio::awaitable<void> task_runner::save_left(supervise::save what) {
  auto saved = co_await save_once(std::move(what));
  if (!saved)
    warn(fmt::format("the work of attempt {} could not be saved: {}", attempt_.value(),
                     saved.error().what));
}

asio::awaitable<void> task_runner::save_orphan() {
  const supervise::end_attempt end{{agent::verdict::orphaned, {}, {}}, false, start_.agent};
  const supervise::save last{.token = 0, .reason = "orphaned", .final = true, .ended = end.outcome};
  co_await save_left(last);
  end_attempt(end);
  start_.orphaned.reset();
}

asio::awaitable<result<void>> task_runner::set_up() {
  if (in_place_ || !run_.what.workspace.setup) co_return result<void>();
  phase("setup");
  const command_spec& command = *run_.what.workspace.setup;
  process::spawn_spec spec = child_spec(fmt::format("{}.setup", task_.id.str()), agent_->pass_env);
  auto ran = co_await commands_.run(command, std::move(spec));
  if (!ran) co_return within("workspace.setup", ran.error());
  tell_limits_met(ran->end, "the setup");
  if (ran->ok) co_return result<void>();
  std::string what = fmt::format("workspace.setup '{}' {}", command.shown(), ran->text(command));
  if (!ran->output.empty()) what += ": " + ran->output;
  co_return fail(ran->killed() ? errc::killed : errc::environment, std::move(what));
}

process::spawn_spec task_runner::child_spec(const std::string& name,
                                            const std::vector<std::string>& pass_env) const {
  process::spawn_spec spec;
  spec.environment = pass(pass_env);
  add_git_settings(spec.environment);
  set(spec.environment, "TMPDIR", run_.layout.temporary(task_.id).string());
  set(spec.environment, "REMORA_RUN", run_.id.str());
  set(spec.environment, "REMORA_TASK", task_.id.str());
  set(spec.environment, "REMORA_ATTEMPT", std::to_string(attempt_.value()));
  set(spec.environment, "REMORA_CHECKPOINT", std::to_string(number_.value()));
  set(spec.environment, "REMORA_NOTES", run_.layout.notes(task_.id).string());
  set(spec.environment, "REMORA_RESULT", run_.layout.result(task_.id).string());
  spec.cwd = *slot_;
  spec.attempt_dir = run_.layout.attempt(name);
  spec.name = fmt::format("{}.{}", run_.id.str(), name);
  spec.limits = task_.tree;
  return spec;
}

}  // namespace remora::run

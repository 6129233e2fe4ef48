#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <random>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/run/continuation.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

constexpr std::size_t text_in_journal = 1024;
/// The host drains pipes for 2 s after the tree is empty; then an exit is told without the rest.
constexpr std::chrono::milliseconds longest_drain{5000};
/// What an agent says of its next try is believed for so long.
constexpr std::chrono::milliseconds longest_retry{3'600'000};
/// An exec takes milliseconds; from a file system that does not answer it never returns.
constexpr std::chrono::seconds longest_start{60};

std::string random_fence() {
  thread_local std::random_device device;  // its construction takes longer than its use
  std::string fence;
  for (int i = 0; i < 16; ++i) fence += static_cast<char>('a' + device() % 26);
  return fence;
}

/// What the journal keeps of an event: decisions and turns, not streamed pieces; long texts are in
/// the transcript.
bool is_turn_level(const agent::event& e) {
  if (const auto* m = std::get_if<agent::message>(&e)) return !m->delta;
  if (const auto* r = std::get_if<agent::reasoning>(&e)) return !r->delta;
  return !std::holds_alternative<agent::unknown>(e);
}

bool tells_of_use(const agent::event& e) {
  return std::holds_alternative<agent::usage>(e) ||
         std::holds_alternative<agent::turn_started>(e) ||
         std::holds_alternative<agent::turn_ended>(e);
}

/// What shows that an error is past.
bool is_answer(const agent::event& e) {
  return std::holds_alternative<agent::message>(e) || std::holds_alternative<agent::reasoning>(e) ||
         std::holds_alternative<agent::tool_call>(e) ||
         std::holds_alternative<agent::turn_ended>(e);
}

/// What an agent that has said that it is done does not do.
bool begins_work(const agent::event& e) {
  return std::holds_alternative<agent::turn_started>(e) ||
         std::holds_alternative<agent::prompt_started>(e);
}

json::object shortened(const agent::event& e) {
  json::object o = agent::to_json(e);
  for (auto& [key, value] : o) {
    if (value.is_string() && value.get_string().size() > text_in_journal)
      value = json::string(head_bytes(value.get_string(), text_in_journal));
    if (value.is_object() && json::serialize(value).size() > text_in_journal)
      value = json::string(head_bytes(json::serialize(value), text_in_journal));
  }
  return o;
}

/// EAGAIN: too many processes, as of an agent that forks without end.
bool may_pass(const error& of_start) {
  return is_lack(of_start) || of_start.is_errno(EAGAIN);
}

}  // namespace

asio::awaitable<void> task_runner::spawn(std::uint32_t number) {
  co_await await_saves();
  ends_at_.reset();
  exited_at_.reset();
  attempt_began_ = run_.time.now();
  out_bytes_ = err_bytes_ = out_saved_ = err_saved_ = 0;
  native_ = false;
  auto prompt = co_await make_prompt();
  if (!prompt) {
    attempt_ = attempt_no(number);  // the end that follows is this attempt's, not the last one's
    mind_.begin_attempt(number, *agent_, run_.time.wall());
    post(supervise::spawn_failed{prompt.error().what, false, may_pass(prompt.error())});
    co_return;
  }
  prompt_ = std::move(*prompt);
  attempt_ = attempt_no(number);
  times_.clear();
  calls_.clear();
  looked_.reset();
  exit_.reset();
  finished_whole_ = troubled_ = retrying_ = out_of_memory_ = false;
  repetition_ = {};
  note_asked_.reset();
  out_lines_ = process::line_framer();
  err_lines_ = process::line_framer();

  agent::launch_request request;
  request.prompt = prompt_;
  const bool same_agent = mind_.attempts().empty() || mind_.attempts().back().agent == agent_->name;
  if (task_.session == session_policy::native && in_place_ && same_agent && !native_failed_)
    request.session_id = mind_.session_id();
  native_ = !request.session_id.empty();
  const agent::launch launch = adapter_->plan_launch(*agent_, request);
  mind_.begin_attempt(number, *agent_, run_.time.wall());

  process::spawn_spec spec = child_spec(attempt_name(number), launch.pass_env);
  for (const auto& [name, value] : launch.environment) set(spec.environment, name, value);
  spec.argv = launch.argv;
  spec.socket = spec.attempt_dir / "socket";

  // The fold of `out` starts from this state if we die before the next checkpoint.
  auto ready = co_await store_->begin_attempt(attempt_name(number), mind_.to_json(), prompt_);
  if (!ready) {
    post(supervise::spawn_failed{ready.error().what, false, may_pass(ready.error())});
    co_return;
  }
  const sequence intent =
      run_.tell("attempt_started", about({{"agent", agent_->name},
                                          {"adapter", agent_->adapter},
                                          {"prompt_bytes", prompt_.size()},
                                          {"native_session", request.session_id},
                                          {"continues", record_.has_value()}}));
  auto durable = co_await run_.log->durable(intent);
  if (!durable) {
    run_.broken(durable.error());
    post(supervise::spawn_failed{durable.error().what});
    co_return;
  }
  start_limit_.set(run_.time.now() + longest_start);
  auto child = co_await run_.host.start(std::move(spec));
  start_limit_.set(std::nullopt);
  if (!child) {
    const bool killed = child.error().is(errc::killed);
    if (killed) take_worktree();  // the agent may have been there before the shim could tell
    post(supervise::spawn_failed{child.error().what, killed, may_pass(child.error())});
    co_return;
  }
  child_ = std::move(*child);
  parser_ = adapter_->make_parser();
  run_.tell("attempt_running", about({{"pid", child_->who().pid},
                                      {"start_ticks", child_->who().start_ticks},
                                      {"boot", child_->who().boot}}));
  if (!child_->limited())
    warn(
        "limits.memory and limits.processes could not both be set for this attempt: its control "
        "groups could not be made or entered");
  phase("running");
  if (!launch.stdin_bytes.empty()) child_->write_stdin(launch.stdin_bytes);
  if (!launch.keep_stdin_open) child_->close_stdin();
  take_worktree();
  post(supervise::started{run_.outer.wall(agent_->name)});
  pumps_.spawn("pump", pump(child_));
}

/// Whose account is open: at once, or once one of them is.
void task_runner::ask(std::uint32_t first) {
  const auto answer = [this, first](const account_book::reply& reply) {
    if (!reply.which) {
      agent::outcome why = reply.of->why;
      why.text = words_for(reply.account, *reply.of, run_.id);
      return post(supervise::denied{std::move(why)});
    }
    const std::size_t which = first + *reply.which;
    use_agent(task_.agents[which]);
    post(supervise::allowed{static_cast<std::uint32_t>(which),
                            task_.agents.size() > 1 ? "agent " + agent_->name : ""});
  };
  if (run_.book->wait(run_.request_of(index_, first), answer)) phase("waiting");
}

void task_runner::use_agent(const std::string& name) {
  agent_ = &run_.what.agents.at(name);
  adapter_ = agent::find_adapter(agent_->adapter).value();
}

/// From here on a successor finds the worktree as this attempt leaves it.
void task_runner::take_worktree() {
  unsaved_ = true;
  in_place_ = true;
}

asio::awaitable<result<std::string>> task_runner::make_prompt() {
  if (mind_.attempts().empty() && !record_) {
    agent::first_prompt_input first;
    first.task_prompt = task_.prompt;
    first.rules = run_.what.rules;
    first.brief = task_.brief;
    first.unseen = run_.dirty;
    co_return agent::first_prompt(first);
  }
  git::oid files = files_;
  if (files.is_zero() && record_) {
    const auto read = co_await store_->files_commit(*record_);
    if (!read) co_return read.error();
    files = *read;
  }
  const continuation_request next{.run = run_.id,
                                  .what = run_.what,
                                  .task = task_,
                                  .mind = mind_,
                                  .attempt = attempt_.value() + 1,
                                  .last = last_outcome_,
                                  .base = start_.base,
                                  .files = files,
                                  .head_note = head_note_,
                                  .wall = run_.outer.wall(agent_->name),
                                  .in_place = in_place_,
                                  .fence = random_fence()};
  if (files.is_zero()) co_return continuation(next, nullptr);
  const auto changes = co_await store_->changes_since(start_.base, files, patch_in_prompt);
  if (!changes) co_return changes.error();
  co_return continuation(next, &*changes);
}

/// Not tried again: what hangs there cannot be proven gone, and the next one would hang beside it.
void task_runner::give_up_start() {
  starts_.cancel();
  take_worktree();
  post(supervise::spawn_failed{
      fmt::format("the agent was not started within {} s", longest_start.count())});
}

asio::awaitable<void> task_runner::pump(std::shared_ptr<process::child> child) {
  for (bool living = true; living;) {
    process::child_event event = co_await child->next();
    living = !std::holds_alternative<process::emptied>(event);
    inbox_.post(message(child_told{child, std::move(event)}));
  }
}

void task_runner::on_child(const child_told& told) {
  if (told.child != child_) return;
  const process::child_event& e = told.event;
  if (const auto* out = std::get_if<process::out_bytes>(&e)) on_output(out->bytes, false);
  if (const auto* err = std::get_if<process::err_bytes>(&e)) on_output(err->bytes, true);
  if (const auto* f = std::get_if<process::frozen>(&e)) feed(supervise::frozen{f->whole});
  if (const auto* x = std::get_if<process::exited>(&e)) {
    // A plain exit ends the rest of the tree; the conclusion waits for the last bytes in the pipes.
    exit_ = x->status;
    exited_at_ = run_.time.now();
    out_of_memory_ = x->out_of_memory;
    if (child_) child_->kill();
    drain_.set(run_.time.now() + longest_drain);
  }
  if (const auto* asked = std::get_if<process::asked>(&e)) on_asked(*asked);
  if (const auto* deaf = std::get_if<process::unheard>(&e))
    warn("the agent cannot ask (remora here): " + deaf->why);
  if (const auto* empty = std::get_if<process::emptied>(&e)) {
    flush_exit();
    if (empty->unsaved_bytes > 0)
      warn(
          fmt::format("{} bytes of the agent's output are not in its transcript: they could not "
                      "be written, the disk may be full",
                      empty->unsaved_bytes));
    tell_limits_met(*empty, fmt::format("attempt {}", attempt_.value()));
    feed(supervise::emptied{empty->proven});
    finished_whole_ = false;
    watch_budget(true);
  }
}

/// In words, also as a warning. `whose`: `the verification`.
std::vector<std::string> task_runner::tell_limits_met(const process::emptied& end,
                                                      std::string_view whose) {
  const process::tree_limits& limits = task_.tree;  // there may be others above it
  std::vector<std::string> met;
  if (end.oom_kills > 0) {
    met.push_back(fmt::format("for want of memory the kernel ended {} {} of {}", end.oom_kills,
                              end.oom_kills == 1 ? "process" : "processes", whose));
    if (limits.memory_bytes > 0)
      met.back() += ": limits.memory is " + format_size_exact(limits.memory_bytes);
  }
  if (end.refused_forks > 0) {
    met.push_back(
        fmt::format("the kernel refused {} new processes of {}", end.refused_forks, whose));
    if (limits.processes > 0)
      met.back() += fmt::format(": limits.processes is {}", limits.processes);
  }
  for (const std::string& text : met) warn(text);
  return met;
}

/// `next_turn`: of this attempt, or of the one that would follow. An agent that has said that it is
/// done is let end: only what would follow it is heard of then, once its tree is empty.
void task_runner::watch_budget(bool next_turn) {
  const spending sum = so_far();
  run_.used(task_.id, sum);
  if (finished_whole_) return;
  const auto over = exceeded(task_.budget, sum, next_turn, run_.id, "limits");
  if (over) feed(*over);
  if (run_.over_budget) feed(*run_.over_budget);
}

/// A silent agent lives while a tool call is open and not too old, or while its tree has used more
/// than a hundredth of a processor, or its connections have carried anything, since the look
/// before. Where that cannot be told, too: `wall` ends it.
void task_runner::look_for_life() {
  const time_point now = run_.time.now();
  bool lives = std::ranges::any_of(
      calls_, [&](const auto& call) { return now < call.second.since + task_.limits.tool; });
  if (child_ && !lives) {
    const auto used = child_->use();
    const auto before = std::exchange(looked_, std::nullopt);
    lives = !used || (before && ((used->cpu - before->use.cpu) * 100 > now - before->at ||
                                 used->bytes != before->use.bytes));
    if (used) looked_ = sighting{now, *used};
  }
  if (lives)
    post(supervise::alive());
  else
    post(supervise::silent());
}

/// Where it can be spoken to, and has not said that it is done.
void task_runner::ask_for_note(std::chrono::milliseconds left) {
  if (!child_ || !parser_ || parser_->wants_stdin_closed()) return;
  const std::string line =
      adapter_->message_line(agent::note_request(left, run_.layout.notes(task_.id).string()));
  if (line.empty()) return;
  child_->write_stdin(line);
  note_asked_ = asked_note{{}, false};
  run_.tell("note_asked", about({{"left_ms", left.count()}}));
}

/// A tool wrote its note, or its answer is one. It hears of our request with the next result of a
/// tool: what is in the notes by then it wrote of its own accord.
bool task_runner::has_handed_over(const agent::event& e) {
  if (!note_asked_) return false;
  if (const auto* end = std::get_if<agent::finished>(&e)) return agent::is_note(end->text);
  if (!std::holds_alternative<agent::tool_result>(e)) return false;
  std::string notes = store_->notes(notes_kept);
  if (std::exchange(note_asked_->heard, true)) return notes != note_asked_->before;
  note_asked_->before = std::move(notes);
  return false;
}

/// The exit, once its output has been read (or could not be within bounds).
void task_runner::flush_exit() {
  drain_.set(std::nullopt);
  if (!exit_ || !parser_) return;
  std::vector<agent::event> events;
  // What came without a newline at the very end: to a parser of text the last line as good as any.
  if (!out_lines_.rest().empty()) parser_->out_line(out_lines_.rest(), events);
  if (!err_lines_.rest().empty()) parser_->err_line(err_lines_.rest(), events);
  agent::outcome concluded = parser_->conclude(*exit_, events);
  if (out_of_memory_ && concluded.verdict == agent::verdict::crashed) concluded.detail = "oom";
  exit_.reset();
  for (const agent::event& e : events) on_event(e);
  feed(supervise::exited{concluded});
}

void task_runner::on_output(std::string_view bytes, bool err) {
  if (!parser_) return;
  looked_.reset();  // what it used until now tells nothing of a silence
  feed(supervise::output());
  bool tells = false, begins_turn = false, ends_turn = false;
  const auto line = [&](std::string_view text) {
    std::vector<agent::event> events;
    if (err)
      parser_->err_line(text, events);
    else
      parser_->out_line(text, events);
    for (const agent::event& e : events) {
      on_event(e);
      tells = tells || tells_of_use(e);
      ends_turn = ends_turn || std::holds_alternative<agent::turn_ended>(e);
      if (const auto* error = std::get_if<agent::agent_error>(&e))
        troubled_ = troubled_ || !error->transient;
      if (std::holds_alternative<agent::turn_started>(e)) begins_turn = true;
      if (std::holds_alternative<agent::turn_ended>(e)) begins_turn = false;
    }
  };
  if (!err) {
    out_bytes_ += bytes.size();
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - attempt_began_);
    times_ += fmt::format("{} {}\n", ms.count(), out_bytes_);
  } else {
    err_bytes_ += bytes.size();
  }
  (err ? err_lines_ : out_lines_).feed(bytes, line);
  if (ends_turn && !troubled_) run_.book->turn_through(account(), index_);
  if (tells) watch_budget(begins_turn);  // by all that it said at once: it may have finished
  if (!err && parser_->wants_stdin_closed() && child_) child_->close_stdin();
}

void task_runner::on_error(const agent::agent_error& e) {
  if (!e.transient) return;
  std::chrono::milliseconds wait{0};
  if (const auto at = parse_iso8601(e.retry_at.value_or("")))
    wait = std::chrono::ceil<std::chrono::milliseconds>(*at - run_.time.wall());
  feed(supervise::retrying{std::clamp(wait, std::chrono::milliseconds(0), longest_retry)});
  if (!std::exchange(retrying_, true)) phase("retrying");
}

void task_runner::on_event(const agent::event& e) {
  mind_.apply(e);
  if (is_turn_level(e)) run_.tell("agent_event", about({{"event", shortened(e)}}));
  if (const auto* error = std::get_if<agent::agent_error>(&e)) on_error(*error);
  if (retrying_ && is_answer(e)) {
    retrying_ = false;
    phase("running");
  }
  if (auto met = repetition_.on(e)) feed(supervise::looping{std::move(*met)});
  if (const auto* call = std::get_if<agent::tool_call>(&e)) {
    open_call& open = calls_[call->id];
    open.since = run_.time.now();
    open.mutates = open.mutates || call->mutates;
  }
  if (const auto* done = std::get_if<agent::tool_result>(&e)) {
    const auto call = calls_.extract(done->id);
    if (call && call.mapped().mutates) feed(supervise::mutated());
  }
  if (std::holds_alternative<agent::turn_ended>(e)) feed(supervise::turn_ended());
  if (has_handed_over(e)) {
    note_asked_.reset();
    return feed(supervise::handed_over());
  }
  if (const auto* end = std::get_if<agent::finished>(&e)) {
    finished_whole_ = end->ok;
    if (end->ok) note_asked_.reset();  // it hears of our request after it is done
  }
  if (begins_work(e)) finished_whole_ = false;
}

}  // namespace remora::run

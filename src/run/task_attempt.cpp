#include <fmt/format.h>

#include <boost/json.hpp>
#include <random>
#include <remora/core/text.hpp>
#include <remora/io/run_on.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

constexpr std::size_t diff_in_prompt = 64u << 10;
constexpr std::size_t text_in_journal = 1024;
/// The host drains pipes for 2 s after the tree is empty; then an exit is told without the rest.
constexpr std::chrono::milliseconds longest_drain{5000};

std::string random_fence() {
  std::random_device device;
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

}  // namespace

asio::awaitable<void> task_runner::spawn(std::uint32_t number) {
  auto prompt = co_await make_prompt();
  if (!prompt) {
    post(supervise::spawn_failed{prompt.error().what});
    co_return;
  }
  prompt_ = std::move(*prompt);
  attempt_ = attempt_no(number);
  attempt_began_ = run_.time.now();
  out_bytes_ = err_bytes_ = out_saved_ = err_saved_ = 0;
  times_.clear();
  mutating_.clear();
  exit_.reset();
  out_lines_ = process::line_framer();
  err_lines_ = process::line_framer();

  agent::launch_request request;
  request.prompt = prompt_;
  if (task_.session == session_policy::native && in_place_) request.session_id = mind_.session_id();
  const agent::launch launch = adapter_.plan_launch(agent_, request);
  mind_.begin_attempt(number, agent_, run_.time.wall());

  std::vector<std::string> pass_env = launch.pass_env;
  pass_env.insert(pass_env.end(), agent_.pass_env.begin(), agent_.pass_env.end());
  process::spawn_spec spec = child_spec(fmt::format("{}.{}", task_.id.str(), number), pass_env);
  for (const auto& [name, value] : launch.environment) set(spec.environment, name, value);
  spec.argv = launch.argv;

  // The fold of `out` starts from this state if we die before the next checkpoint.
  result<void> ready = make_directories(spec.attempt_dir);
  if (ready) ready = make_directories(run_.layout.temporary(task_.id));
  if (ready) ready = write_file_durably(spec.attempt_dir / "state.json", mind_.to_json());
  if (ready) ready = write_file_durably(spec.attempt_dir / "prompt.md", prompt_);
  if (!ready) {
    post(supervise::spawn_failed{ready.error().what});
    co_return;
  }
  const sequence intent =
      run_.tell("attempt_started", about({{"agent", agent_.name},
                                          {"adapter", agent_.adapter},
                                          {"prompt_bytes", prompt_.size()},
                                          {"native_session", request.session_id},
                                          {"continues", record_.has_value()}}));
  auto durable = co_await run_.log->durable(intent);
  if (!durable) {
    run_.broken(durable.error());
    post(supervise::spawn_failed{durable.error().what});
    co_return;
  }
  auto child = co_await run_.host.start(std::move(spec));
  if (!child) {
    post(supervise::spawn_failed{child.error().what});
    co_return;
  }
  child_ = std::move(*child);
  parser_ = adapter_.make_parser();
  run_.tell("attempt_running", about({{"pid", child_->who().pid},
                                      {"start_ticks", child_->who().start_ticks},
                                      {"boot", child_->who().boot}}));
  phase("running");
  if (!launch.stdin_bytes.empty()) child_->write_stdin(launch.stdin_bytes);
  if (!launch.keep_stdin_open) child_->close_stdin();
  in_place_ = true;  // from here on a successor finds this worktree as this attempt leaves it
  post(supervise::started());
  pumps_.spawn("pump", pump(child_));
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
  agent::continuation_input next;
  next.task_prompt = task_.prompt;
  next.rules = run_.what.rules;
  next.attempt = attempt_.value() + 1;
  next.last = mind_.attempts().empty() || !mind_.attempts().back().ended_with
                  ? last_outcome_
                  : *mind_.attempts().back().ended_with;
  next.wall = task_.limits.wall;
  next.brief = task_.brief;
  next.mind = &mind_;
  next.ref = fmt::format("remora-wip/{}/{}", run_.id.str(), task_.id.str());
  next.base = start_.base.hex();
  next.head_note = head_note_;
  next.in_place = in_place_;
  next.fence = random_fence();
  git::oid files = files_;
  if (files.is_zero() && record_) {
    const auto read = co_await io::run_on(worker_->pool, read_files_commit, worker_, *record_);
    if (!read) co_return read.error();
    files = *read;
  }
  if (!files.is_zero()) {
    const auto changes = co_await io::run_on(worker_->pool, changes_since, worker_, start_.base,
                                             files, diff_in_prompt);
    if (!changes) co_return changes.error();
    for (const git::changed_file& f : changes->summary.files)
      next.changed.push_back({f.path, f.status, f.insertions, f.deletions});
    next.diff = changes->patch.text;
    next.diff_truncated = changes->patch.truncated;
  }
  co_return agent::continuation(next);
}

asio::awaitable<void> task_runner::pump(std::shared_ptr<process::child> child) {
  for (bool living = true; living;) {
    process::child_event event = co_await child->next();
    living = !std::holds_alternative<process::emptied>(event);
    inbox_.post(message(std::move(event)));
  }
}

void task_runner::on_child(const process::child_event& e) {
  if (const auto* out = std::get_if<process::out_bytes>(&e)) on_output(out->bytes, false);
  if (const auto* err = std::get_if<process::err_bytes>(&e)) on_output(err->bytes, true);
  if (const auto* f = std::get_if<process::frozen>(&e)) feed(supervise::frozen{f->whole});
  if (const auto* x = std::get_if<process::exited>(&e)) {
    // A plain exit ends the rest of the tree; the conclusion waits for the last bytes in the pipes.
    exit_ = x->status;
    if (child_) child_->kill();
    drain_.set(run_.time.now() + longest_drain);
  }
  if (const auto* empty = std::get_if<process::emptied>(&e)) {
    flush_exit();
    feed(supervise::emptied{empty->proven});
  }
}

/// The exit, once its output has been read (or could not be within bounds).
void task_runner::flush_exit() {
  drain_.set(std::nullopt);
  if (!exit_ || !parser_) return;
  std::vector<agent::event> events;
  const agent::outcome concluded = parser_->conclude(*exit_, events);
  exit_.reset();
  for (const agent::event& e : events) on_event(e);
  supervise::exited exited;
  exited.concluded = concluded;
  feed(exited);
}

void task_runner::on_output(std::string_view bytes, bool err) {
  if (!parser_) return;
  feed(supervise::output());
  const auto line = [&](std::string_view text) {
    std::vector<agent::event> events;
    if (err)
      parser_->err_line(text, events);
    else
      parser_->out_line(text, events);
    for (const agent::event& e : events) on_event(e);
  };
  if (err) {
    err_bytes_ += bytes.size();
    err_lines_.feed(bytes, line);
    return;
  }
  out_bytes_ += bytes.size();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - attempt_began_);
  times_ += fmt::format("{} {}\n", ms.count(), out_bytes_);
  out_lines_.feed(bytes, line);
  if (parser_->wants_stdin_closed() && child_) child_->close_stdin();
}

void task_runner::on_event(const agent::event& e) {
  mind_.apply(e);
  if (is_turn_level(e)) run_.tell("agent_event", about({{"event", shortened(e)}}));
  if (const auto* call = std::get_if<agent::tool_call>(&e); call && call->mutates)
    mutating_.insert(call->id);
  if (const auto* done = std::get_if<agent::tool_result>(&e); done && mutating_.erase(done->id) > 0)
    feed(supervise::mutated());
  if (std::holds_alternative<agent::turn_ended>(e)) feed(supervise::turn_ended());
}

}  // namespace remora::run

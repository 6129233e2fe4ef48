// What the agent asks of us while it lives (docs/agents.md).
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace json = boost::json;
namespace {

json::value left_of(std::uint64_t most, std::uint64_t used) {
  return most > 0 ? json::value(most - std::min(most, used)) : json::value(nullptr);
}

json::value left_of(double most, double used) {
  return most > 0 ? json::value(std::max(most - used, 0.0)) : json::value(nullptr);
}

}  // namespace

void task_runner::on_asked(const process::asked& asked) {
  const auto request = parse_request(asked.request);
  if (!request) return asked.answer(refused(request.error()));
  if (const auto* note = std::get_if<note_request>(&*request))
    asked.answer(take_note(note->text));
  else if (const auto* plan = std::get_if<agent::plan>(&*request))
    asked.answer(take_plan(*plan));
  else if (std::holds_alternative<left_request>(*request))
    asked.answer(tell_left());
  else
    ask_for_checkpoint(std::get<checkpoint_request>(*request).note, asked.answer);
}

error task_runner::being_ended() const {
  return fail(errc::stopped,
              fmt::format("attempt {} is being ended: what it did is saved", attempt_.value()));
}

std::string task_runner::take_note(const std::string& text) {
  const auto noted = store_->add_note(text);
  if (!noted) return refused(noted.error());
  feed(supervise::output());  // who asks lives
  return accepted();
}

/// On the disk before it counts: `out` does not have it, and the state after a crash is their fold.
std::string task_runner::take_plan(const agent::plan& plan) {
  const told_event told{out_bytes_, plan};
  const auto kept = store_->add_told(attempt_name(attempt_.value()), to_line(told));
  if (!kept) return refused(kept.error());
  on_event(told.event);
  feed(supervise::output());
  const auto done =
      std::ranges::count(plan.items, agent::plan_status::done, &agent::plan_item::status);
  return accepted({{"items", plan.items.size()}, {"done", done}});
}

std::string task_runner::tell_left() const {
  const auto deadlines = machine_.deadlines();
  if (!deadlines) return refused(being_ended());
  const auto ms = [now = run_.time.now()](std::optional<time_point> at) {
    if (!at) return json::value(nullptr);
    const auto left = std::chrono::floor<std::chrono::milliseconds>(*at - now).count();
    return json::value(std::max<std::int64_t>(left, 0));
  };
  const spending used = so_far(), of_run = run_.spent();
  const budget &task = task_.budget, &run = run_.what.budget;
  return accepted({{"attempt", attempt_.value()},
                   {"wall_ms", ms(deadlines->wall)},
                   {"idle_ms", ms(deadlines->idle)},
                   {"soft_ms", ms(deadlines->soft)},
                   {"turns", left_of(task.turns, used.turns)},
                   {"tokens", left_of(task.tokens, used.tokens)},
                   {"cost_usd", left_of(task.cost_usd, used.cost_usd)},
                   {"run_tokens", left_of(run.tokens, of_run.tokens)},
                   {"run_cost_usd", left_of(run.cost_usd, of_run.cost_usd)}});
}

/// Answered by the next one that begins; it may be of the attempt's end.
void task_runner::ask_for_checkpoint(const std::string& note,
                                     std::function<void(std::string)> answer) {
  if (machine_.phase() != supervise::phase::running) return answer(refused(being_ended()));
  if (!note.empty()) {
    const auto noted = store_->add_note(note);
    if (!noted) return answer(refused(noted.error()));
  }
  awaited_.push_back({std::nullopt, std::move(answer)});
  feed(supervise::checkpoint_requested());
}

void task_runner::begin_awaited(std::uint64_t token) {
  for (awaited_checkpoint& a : awaited_)
    if (!a.token) a.token = token;
}

void task_runner::answer_awaited(std::uint64_t token, const std::string& answer) {
  std::vector<awaited_checkpoint> due;
  std::ranges::partition_copy(std::exchange(awaited_, {}), std::back_inserter(due),
                              std::back_inserter(awaited_),
                              [&](const awaited_checkpoint& a) { return a.token == token; });
  for (const awaited_checkpoint& a : due) a.answer(answer);
}

std::string task_runner::checkpoint_answer(checkpoint_no before) const {
  json::object fields{{"checkpoint", nullptr}, {"commit", nullptr}, {"changed", number_ != before}};
  if (number_.value() > 0) fields["checkpoint"] = number_.value();
  if (!files_.is_zero()) fields["commit"] = files_.hex();
  return accepted(std::move(fields));
}

}  // namespace remora::run

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>
#include <remora/core/text.hpp>
#include <remora/git/left_out.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

constexpr std::size_t text_shown = 16u << 10;
constexpr std::size_t result_shown = 16u << 10;

json::array omissions(const std::vector<git::omission>& list) {
  json::array out;
  for (const git::omission& o : list) {
    json::object item{{"reason", o.reason}};
    path_to_json(item, "path", o.path);
    out.emplace_back(std::move(item));
  }
  return out;
}

json::object usage_json(const agent::usage& u) {
  return {{"input_tokens", u.input_tokens},   {"output_tokens", u.output_tokens},
          {"cached_tokens", u.cached_tokens}, {"reasoning_tokens", u.reasoning_tokens},
          {"cost_usd", u.cost_usd},           {"estimated", u.estimated}};
}

}  // namespace

asio::awaitable<void> task_runner::verify() {
  phase("verifying");
  const command_spec& command = *task_.verify;
  process::spawn_spec spec =
      child_spec(fmt::format("{}.verify.{}", task_.id.str(), attempt_.value()), agent_->pass_env);
  auto ran = co_await commands_.run(command, std::move(spec));
  agent::verification v;
  v.command = command.shown();
  v.attempt = attempt_.value();
  if (ran) {
    v.ok = ran->ok;
    const std::vector<std::string> met = tell_limits_met(ran->end, "the verification");
    v.output = ran->output;
    if (!ran->ok) v.output += "\n" + ran->text(command);
    for (const std::string& text : met) v.output += "\n" + text;
  } else {
    v.output = ran.error().what;
  }
  run_.tell("verify_ended", about({{"ok", v.ok}, {"command", v.command}, {"output", v.output}}));
  const bool ok = v.ok;
  mind_.set_verification(std::move(v));
  post(supervise::verified{ok});
}

asio::awaitable<void> task_runner::publish() {
  phase("publishing");
  auto done = co_await publish_steps();
  if (done) {
    post(supervise::published());
    if (publishes_only())  // no machine led here: the attempt ended before our predecessor died
      finished_ = supervise::finish{supervise::task_outcome::succeeded,
                                    {agent::verdict::completed, {}, {}}};
    co_return;
  }
  warn(fmt::format("the result could not be published: {}; the checkpoint is kept",
                   done.error().what));
  post(supervise::publish_failed{done.error().what});
  if (publishes_only())
    finished_ = supervise::finish{supervise::task_outcome::interrupted,
                                  {agent::verdict::interrupted, {}, done.error().what}};
}

/// Result durable → journal durable → run's record durable → checkpoint deleted → slot freed (X5).
asio::awaitable<result<void>> task_runner::publish_steps() {
  if (!record_ && start_.published.is_zero())
    co_return fail(errc::corrupt, "there is no checkpoint to make a result of");
  result_request request{.run = run_.id,
                         .task = task_.id,
                         .title = task_.title,
                         .record = record_.value_or(git::oid()),
                         .base = start_.base,
                         .branch = branch(),
                         .aside = aside(),
                         .rules = {.max_file_bytes = run_.what.result_max_file_bytes},
                         .published = start_.published,
                         .published_whole = start_.published_whole};
  auto made = co_await store_->publish_result(std::move(request));
  if (!made) co_return made.error();
  made_ = std::move(*made);
  result_commit_ = made_->commit;
  const bool whole = made_->whole;
  if (!made_->remark.empty()) warn(made_->remark);
  if (made_->head_moved)
    warn(
        fmt::format("the agent's HEAD does not descend from the base {}: the result holds what "
                    "the agent made of it, and may lack commits of the base",
                    start_.base.hex()));
  if (!whole && made_->left_out.empty())
    warn("the checkpoint is kept: it holds more than the result does");
  else if (!whole)
    warn(
        fmt::format("the checkpoint is kept: the result lacks {} of its paths, or has them in "
                    "another form; the first is {} ({})",
                    made_->left_out.size(), to_utf8(made_->left_out.front().path),
                    made_->left_out.front().reason));
  const sequence told =
      run_.tell("result_published", about({{"commit", result_commit_.hex()}, {"whole", whole}}));
  auto durable = co_await run_.log->durable(told);
  if (!durable) {
    run_.broken(durable.error());
    co_return durable.error();
  }
  agent::outcome last{agent::verdict::completed, last_outcome_.detail, last_outcome_.text};
  ended_ = ended_payload(supervise::task_outcome::succeeded, last);
  const std::vector<std::string> refs = co_await new_branches();
  ended_["refs"] = json::array(refs.begin(), refs.end());
  auto recorded = co_await run_.store.record_task(task_.id, ended_, record_, result_commit_);
  if (!recorded) co_return recorded.error();
  co_return co_await prune_published(whole);
}

asio::awaitable<result<void>> task_runner::prune_published(bool whole) {
  if (whole && record_) {
    auto removed = co_await store_->remove_checkpoint(*record_);
    if (!removed) warn(fmt::format("the checkpoint stays: {}", removed.error().what));
  }
  if (whole && start_.old_run) {  // a rerun: success also ends the old run's checkpoint
    auto removed = co_await store_->remove_checkpoint(*start_.old_run);
    if (!removed) warn(fmt::format("the old run's checkpoint stays: {}", removed.error().what));
  }
  co_return result<void>();
}

asio::awaitable<void> task_runner::finish(supervise::finish f) {
  const bool succeeded = f.outcome == supervise::task_outcome::succeeded;
  const bool goes_on = f.outcome == supervise::task_outcome::interrupted;
  if (!succeeded) {
    ended_ = ended_payload(f.outcome, f.last);
    if (!goes_on) {
      auto recorded = co_await run_.store.record_task(task_.id, ended_, record_, std::nullopt);
      if (!recorded)
        warn(fmt::format("the task's end could not be recorded: {}", recorded.error().what));
    }
  }
  // What no checkpoint holds is nowhere else: then its worktree stays, whatever the plan says.
  const keep_policy keep = run_.what.workspace.keep;
  const bool keep_slot = goes_on || keep == keep_policy::always ||
                         (!succeeded && (keep == keep_policy::failed || unsaved_));
  if (!keep_slot && !holds_only_copy()) co_await free_slot(succeeded && made_ && made_->whole);
  run_.tell("task_ended", ended_);
}

/// Of what the last checkpoint, or the one that the result was made of, lacks.
bool task_runner::holds_only_copy() {
  const std::vector<git::omission>& left_out = made_ ? made_->left_out : left_out_;
  const auto alone = [](const git::omission& o) { return git::is_nowhere_else(o.reason); };
  const auto first = std::ranges::find_if(left_out, alone);
  if (first == left_out.end() || start_.slot.empty()) return false;
  const std::string_view why = first->reason == git::unreadable        ? "could not be read"
                               : first->reason == git::beyond_snapshot ? "did not fit"
                                                                       : "is too large";
  const auto more = std::ranges::count_if(left_out, alone) - 1;
  warn(fmt::format("the worktree {} stays: {}{} {}, and is in no checkpoint", start_.slot,
                   to_utf8(first->path), more > 0 ? fmt::format(" (and {} more)", more) : "", why));
  return true;
}

/// `for_others`: the next task may have it.
asio::awaitable<void> task_runner::free_slot(bool for_others) {
  for (const std::string& slot : {start_.slot, start_.discard}) {
    if (slot.empty()) continue;
    const std::size_t waiting = for_others ? run_.fold.waiting() : 0;
    auto removed = co_await store_->free_slot(slot, waiting);
    if (!removed)
      warn(fmt::format("the worktree {} stays: {}", slot, removed.error().what));
    else
      run_.tell("slot_freed", about({{"slot", slot}}));
  }
}

asio::awaitable<std::vector<std::string>> task_runner::new_branches() {
  std::vector<std::string> added;
  const auto now = co_await store_->user_branches();
  if (now) std::ranges::set_difference(*now, branches_, std::back_inserter(added));
  co_return added;
}

/// With what an agent has not told of its cost, and what the mind has lost.
agent::usage task_runner::total_usage() const {
  agent::usage all = mind_.total_usage();
  const spending sum = so_far();
  all.input_tokens += forgotten_.tokens;  // which of them were output is not known
  all.cost_usd = sum.cost_usd;
  all.estimated = all.estimated || sum.estimated;
  return all;
}

json::object task_runner::ended_payload(supervise::task_outcome outcome,
                                        const agent::outcome& last) {
  const auto lasted =
      std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - began_);
  json::object o{{"task", task_.id.str()},
                 {"outcome", supervise::name(outcome)},
                 {"verdict", agent::name(last.verdict)},
                 {"detail", last.detail},
                 {"attempts", attempt_.value()},
                 {"duration_ms", lasted.count()},
                 {"branch", branch()},
                 {"base", start_.base.hex()},
                 {"commit", made_ ? json::value(made_->commit.hex()) : json::value(nullptr)},
                 {"checkpoint", number_.value()},
                 {"record", record_ ? json::value(record_->hex()) : json::value(nullptr)},
                 {"verified", mind_.last_verification() ? json::value(mind_.last_verification()->ok)
                                                        : json::value(nullptr)},
                 {"text", to_utf8(tail_bytes(mind_.last_message(), text_shown))},
                 {"why", last.text},
                 {"result", to_utf8(store_->result_text(result_shown))},
                 {"usage", usage_json(total_usage())},
                 {"left_out", omissions(made_ ? made_->left_out : left_out_)}};
  if (made_) {
    const git::diff_summary& c = made_->changes;
    o["commits"] = made_->commits;
    o["head_moved"] = made_->head_moved;
    o["checkpoint_kept"] = !made_->whole;
    o["files"] = json::object{{"added", c.added},
                              {"modified", c.modified},
                              {"deleted", c.deleted},
                              {"insertions", c.insertions},
                              {"deletions", c.deletions}};
  }
  return o;
}

}  // namespace remora::run

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/git/left_out.hpp>

#include "run/task_runner.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

constexpr std::size_t result_kept = 1u << 20;

}  // namespace

void task_runner::enqueue(const supervise::save& s) {
  if (s.final) phase("saving");
  saves_.push_back(s);
  begin_awaited(s.token);
  if (!saving_) {
    saving_ = true;
    work_.spawn("save", save_all());
  }
}

asio::awaitable<void> task_runner::save_all() {
  while (!saves_.empty() && !stop_work_.stop_requested()) {
    const supervise::save what = saves_.front();
    saves_.pop_front();
    const checkpoint_no before = number_;
    auto saved = co_await save_once(what);
    answer_awaited(what.token, saved ? checkpoint_answer(before) : refused(saved.error()));
    if (saved) {
      post(*saved);
      if (saved->changed) looked_.reset();  // as after output
      if (saved->changed) post(supervise::worktree_changed());
      continue;
    }
    warn(fmt::format("checkpoint ({}) failed: {}; it is tried again", what.reason,
                     saved.error().what));
    if (saved.error().is_errno(ENOSPC) || saved.error().is_errno(EDQUOT)) disk_full_ = true;
    const bool slot_lost = what.final && saved.error().is(errc::vanished);
    if (slot_lost) give_up(start_.slot);
    post(supervise::save_failed{what.token, saved.error().what, slot_lost});
  }
  saving_ = false;
  saves_ended_.notify();
}

asio::awaitable<void> task_runner::await_saves() {
  while (saving_) co_await saves_ended_.wait();
}

/// With how its attempt ends: whoever goes on from the checkpoint may know nothing else of it. That
/// it completed is said later: a verification may deny it.
std::string task_runner::state_as_of(const supervise::save& what) {
  if (!what.ended || what.ended->verdict == agent::verdict::completed) return mind_.to_json();
  if (!ends_at_) ends_at_ = run_.time.wall();
  agent::state mind = mind_;
  mind.end_attempt(*what.ended, *ends_at_);
  return mind.to_json();
}

save_request task_runner::make_save_request(const supervise::save& what) {
  mind_.set_notes(store_->notes(notes_kept));
  std::string outcome = store_->result_text(result_kept);
  save_request r(checkpoint::request{.run = run_.id, .task = task_.id});
  r.record.attempt = attempt_;
  r.record.number = number_.next();
  r.record.reason = what.unfrozen ? what.reason + ", unfrozen" : what.reason;
  r.record.base = start_.base;
  r.record.previous = record_;
  r.record.thin = record_ && (disk_full_ || chain_bytes_ > task_.max_disk_bytes);
  r.record.seconds =
      std::chrono::duration_cast<std::chrono::seconds>(run_.time.wall().time_since_epoch()).count();
  r.record.mind.state = state_as_of(what);
  r.record.mind.prompt = prompt_;
  if (!outcome.empty()) r.record.mind.result = std::move(outcome);
  r.attempt_dir = run_.layout.attempt(attempt_name(attempt_.value()));
  r.out_from = out_saved_;
  r.out_to = out_bytes_;
  r.err_from = err_saved_;
  r.err_to = err_bytes_;
  r.times = times_;
  r.last_state = state_saved_;
  r.branch = branch();
  r.final = what.final;
  r.keep_branch = task_.branch;
  return r;
}

/// Each path once: while it stays unreadable, every checkpoint lacks it. What does not fit may be
/// many, and fit into the next one.
void task_runner::tell_left_out(const std::vector<git::omission>& left_out) {
  const std::vector<std::string> known = git::unreadable_paths(left_out_);
  for (const std::string& path : git::unreadable_paths(left_out))
    if (!std::ranges::binary_search(known, path))
      warn(fmt::format("{} cannot be read: the checkpoint is without it", to_utf8(path)));
  const auto beyond = [](const git::omission& o) { return o.reason == git::beyond_snapshot; };
  const auto first = std::ranges::find_if(left_out, beyond);
  if (first != left_out.end() && std::ranges::none_of(left_out_, beyond))
    warn(fmt::format(
        "{} paths, {} among them, did not fit into the checkpoint (checkpoint.max_total)",
        std::ranges::count_if(left_out, beyond), to_utf8(first->path)));
  left_out_ = left_out;
}

void task_runner::tell_given_up(const checkpoint::prepared& first) {
  warn(fmt::format("the checkpoints before {} are given up: {}", first.what.number.value(),
                   disk_full_
                       ? "the disk is full"
                       : fmt::format("they added {}B to the repository (checkpoint.max_disk)",
                                     format_count(chain_bytes_))));
  disk_full_ = false;
  given_up_ = true;
}

/// Where somebody is at work on the objects, it is tried again after the next checkpoint.
void task_runner::free_given_up() {
  if (!given_up_ || std::exchange(removing_, true)) return;
  work_.spawn("remove", remove_given_up());
}

asio::awaitable<void> task_runner::remove_given_up() {
  auto freed = co_await store_->remove_unreachable(stop_work_.get_token());
  removing_ = false;
  given_up_ = freed && !*freed;
  if (!freed && !stop_work_.stop_requested())
    warn(fmt::format("what older checkpoints took is not free yet: {}", freed.error().what));
}

asio::awaitable<result<supervise::saved>> task_runner::save_once(supervise::save what) {
  const time_point began = run_.time.now();
  if (!slot_) co_return fail(errc::vanished, "the worktree is not there");
  save_request request = make_save_request(what);
  const std::uint64_t progress = mind_.progress();
  const std::string state = request.record.mind.state;
  const std::uint64_t out_to = request.out_to, err_to = request.err_to;
  const std::size_t times_taken = times_.size();
  const bool thins = request.record.thin;

  auto taken = co_await store_->take_checkpoint(std::move(request), stop_work_.get_token());
  if (!taken) co_return taken.error();
  for (const std::string& lock : taken->removed_locks)
    warn(fmt::format("removed {}, which the dead agent's git left", lock));

  tell_left_out(taken->left_out);
  supervise::saved done;
  done.token = what.token;
  done.changed = taken->files_differ || taken->head_moved;
  done.progressed = progress > progress_saved_;
  if (taken->prepared) {
    const checkpoint::prepared& p = *taken->prepared;
    const json::object mark{{"checkpoint", p.what.number.value()},
                            {"commit", p.what.files.hex()},
                            {"record", p.what.commit.hex()},
                            {"old", p.old.hex()},
                            {"reason", p.what.reason},
                            {"packed", p.packed},
                            {"thins", thins}};
    const sequence intent = run_.tell("checkpoint_prepared", about(mark));
    auto durable = co_await run_.log->durable(intent);
    if (!durable) {
      run_.broken(durable.error());
      co_return durable.error();
    }
    auto published = co_await store_->publish_checkpoint(p, std::move(*taken->files), task_.branch);
    if (!published) co_return published.error();
    if (!published->empty()) warn(*published);
    record_ = p.what.commit;
    files_ = p.what.files;
    number_ = p.what.number;
    out_saved_ = out_to;
    err_saved_ = err_to;
    times_.erase(0, times_taken);
    state_saved_ = state;
    json::object event = mark;
    event["ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - began).count();
    event["files_scanned"] = taken->files_scanned;
    event["files_changed"] = taken->files_changed;
    event["bytes"] = p.bytes;
    event["left_out"] = taken->left_out.size();
    run_.tell("checkpoint_saved", about(std::move(event)));
    if (thins) tell_given_up(p);
    chain_bytes_ = (thins ? 0 : chain_bytes_) + p.packed;
    taken->held.reset();
    free_given_up();
  }
  if (what.final) unsaved_ = false;
  progress_saved_ = progress;
  done.took = std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - began);
  if (taken->prepared) co_await store_->merge_packs(stop_work_.get_token());
  co_return done;
}

}  // namespace remora::run

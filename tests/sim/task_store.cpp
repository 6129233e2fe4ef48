#include <boost/json.hpp>

#include "sim/checker.hpp"
#include "sim/life.hpp"

namespace remora::sim {

namespace asio = boost::asio;
namespace fs = std::filesystem;

std::optional<error> disk_fault(world& w, life& owner, const char* doing) {
  if (w.goes_wrong(w.odds.bug)) {
    owner.faulted = owner.throws = true;
    w.note("a bug shows while {}", doing);
    throw std::runtime_error("a bug");
  }
  if (!w.goes_wrong(w.odds.fault)) return std::nullopt;
  owner.faulted = true;
  w.note("it fails: {}", doing);
  constexpr int ways[] = {ENOSPC, EIO, EMFILE};
  return os_error(ways[w.random.below(3)], doing);
}

/// Waits for what this task's worker does already, then for as long as this takes.
asio::awaitable<void> virtual_task_store::turn() {
  free_at_ = std::max(free_at_, w_.time.now()) + w_.disk_time();
  co_await owner_.pass(free_at_ - w_.time.now());
}

// --- after a crash ---

result<void> virtual_task_store::go_on_from(const git::oid& record, run::task_start& start) {
  const auto found = w_.disk.checkpoints.find(record);
  if (found == w_.disk.checkpoints.end()) return fail(errc::corrupt, "a checkpoint is not there");
  const saved_state& c = found->second;
  start.record = record;
  start.number = checkpoint_no(c.number);
  start.base = c.base;
  start.changed = c.work != 0;
  start.same_run = true;
  REMORA_TRY(start.mind, agent::state::from_json(c.state));
  return {};
}

result<void> virtual_task_store::take_newest(const run::task_fold& fold, run::recovered_task& r) {
  const auto put = [&](const git::oid& id) {
    w_.disk.wip[task_] = {id, id};
    w_.name(id);
    return go_on_from(id, r.start);
  };
  if (fold.prepared && w_.disk.checkpoints.contains(fold.prepared->record))
    return put(fold.prepared->record);
  if (!fold.saved) return {};
  if (w_.disk.checkpoints.contains(fold.saved->record)) return put(fold.saved->record);
  w_.broken("a checkpoint that the journal has is not there");
  return fail(errc::corrupt, "damaged");
}

auto virtual_task_store::recover(run::task_fold fold) -> awaited<run::recovered_task> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "recovering a task")) co_return *bad;
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  run::recovered_task r;
  r.start.base = fold.base;
  r.start.published = fold.published;
  r.start.published_whole = fold.published_whole;
  if (fold.published.is_zero()) {
    const auto taken = take_newest(fold, r);
    if (!taken) co_return taken.error();
  } else if (fold.saved) {
    (void)go_on_from(fold.saved->record, r.start);
  }
  co_return r;
}

auto virtual_task_store::start_from(git::oid record) -> awaited<run::task_start> {
  co_await turn();
  run::task_start start;
  const auto taken = go_on_from(record, start);
  if (!taken) co_return taken.error();
  start.same_run = false;
  start.old_run = record;
  if (!start.mind->attempts().empty()) start.made = start.mind->attempts().back().number;
  co_return start;
}

// --- worktrees ---

/// Of this task: by then it may be another's.
void virtual_task_store::remove(const std::string& slot) {
  const auto found = w_.disk.slots.find(slot);
  if (found == w_.disk.slots.end() || found->second.task != task_) return;
  w_.note("worktree {} is removed", slot);
  w_.check->slot_goes(slot, found->second);
  w_.disk.slots.erase(found);
}

/// The task's branch is taken from whoever has it: what no attempt was started in is removed.
void virtual_task_store::free_branch(const run::slot_request& r) {
  remove(r.discard);
  std::vector<std::string> unknown;
  for (const auto& [name, slot] : w_.disk.slots)
    if (slot.task == task_ && name != r.abandoned && !slot.detached) unknown.push_back(name);
  for (const std::string& name : unknown) remove(name);
  if (const auto left = w_.disk.slots.find(r.abandoned); left != w_.disk.slots.end())
    left->second.detached = true;
}

void virtual_task_store::make_new_slot(units work) {
  slot_ = fmt::format("/slots/{}", ++w_.disk.names);
  worktree made;
  made.task = task_;
  made.work = work;
  w_.disk.slots.emplace(slot_, made);
  w_.note("worktree {} made", slot_);
}

/// Files first, while it is still nobody's; then the books; then it is said to be whole.
asio::awaitable<bool> virtual_task_store::take_free_slot(units work) {
  if (free_.empty()) co_return false;
  slot_ = free_.back();
  free_.pop_back();
  for (const int step : {0, 1, 2}) {
    const auto slot = w_.disk.slots.find(slot_);
    if (slot == w_.disk.slots.end() || !slot->second.half) co_return false;  // it was swept
    if (w_.goes_wrong(w_.odds.fault)) {
      w_.note("worktree {} cannot be used again", slot_);
      w_.disk.slots.erase(slot);
      co_return false;
    }
    if (step == 0) slot->second.work = w_.random.next();
    if (step == 1) slot->second = {.task = task_, .work = work, .half = true};
    if (step == 2) slot->second.half = false;
    if (step < 2) co_await turn();
  }
  w_.note("worktree {} is the next task's", slot_);
  co_return true;
}

auto virtual_task_store::make_slot(run::slot_request r, std::stop_token stop)
    -> awaited<run::slot_lent> {
  co_await turn();
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "making a worktree")) co_return *bad;
  if (stop.stop_requested()) co_return fail(errc::stopped, "stopped");
  const bool in_place = !r.reuse.empty();
  if (in_place && !w_.disk.slots.contains(r.reuse.string()))
    co_return fail(errc::vanished, "the worktree is gone");
  if (in_place) {
    slot_ = r.reuse.string();
    w_.note("worktree {} again", slot_);
  } else {
    free_branch(r);
    const units work = r.record ? w_.disk.checkpoints.at(*r.record).work : 0;
    const bool taken = co_await take_free_slot(work);
    if (!taken) make_new_slot(work);
    if (w_.goes_wrong(w_.odds.spawn)) {
      co_await turn();
      remove(slot_);
      co_return fail(errc::killed, "git was killed while it made a worktree");
    }
  }
  last_.reset();
  if (r.record && r.same_run) last_ = w_.disk.checkpoints.at(*r.record).work;
  co_await turn();
  co_return run::slot_lent{slot_, in_place, {}, {}};
}

auto virtual_task_store::free_slot(fs::path root, std::size_t waiting) -> awaited<void> {
  co_await turn();
  const std::string slot = root.string();
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "removing a worktree")) {
    w_.check->excuse_slot(slot);
    co_return *bad;
  }
  const auto found = w_.disk.slots.find(slot);
  const bool mine = found != w_.disk.slots.end() && found->second.task == task_ && slot == slot_;
  if (!mine || free_.size() >= waiting) {
    remove(slot);
    co_return result<void>();
  }
  w_.note("worktree {} is set aside", slot);
  w_.check->slot_goes(slot, found->second);
  found->second.half = true;
  found->second.used = false;  // its work is elsewhere
  slot_.clear();
  co_await turn();
  free_.push_back(slot);
  co_return result<void>();
}

result<bool> virtual_task_store::slot_exists(const fs::path& root) const {
  const auto found = w_.disk.slots.find(root.string());
  return found != w_.disk.slots.end() && found->second.task == task_;
}

// --- checkpoints ---

auto virtual_task_store::take_checkpoint(run::save_request r, std::stop_token stop)
    -> awaited<run::save_taken> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "taking a checkpoint")) co_return *bad;
  if (stop.stop_requested()) co_return fail(errc::stopped, "stopped");
  const auto slot = w_.disk.slots.find(slot_);
  if (slot == w_.disk.slots.end()) co_return fail(errc::vanished, "the worktree is gone");
  const units work = slot->second.work;
  run::save_taken taken;
  taken.files_differ = last_ ? *last_ != work : work != 0;
  const bool quiet =
      r.out_from == r.out_to && r.err_from == r.err_to && r.last_state == r.record.mind.state;
  if (last_ == work && quiet) co_return taken;
  saved_state c;
  c.task = task_;
  c.number = r.record.number.value();
  c.attempt = r.record.attempt.value();
  c.work = work;
  c.base = r.record.base;
  if (r.record.previous && !r.record.thin) c.previous = *r.record.previous;
  c.files = w_.new_name();
  c.state = r.record.mind.state;
  c.out = r.out_to;
  c.err = r.err_to;
  c.rerun = w_.is_rerun;
  const git::oid id = w_.new_name();
  w_.disk.checkpoints.emplace(id, std::move(c));
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "syncing a checkpoint")) co_return *bad;
  saved_state& kept = w_.disk.checkpoints.at(id);
  kept.durable = true;
  checkpoint::prepared p{.what = checkpoint::record{.run = w_.what.id, .task = r.record.task},
                         .old = r.record.previous.value_or(git::oid()),
                         .packed = 1};
  p.what.attempt = r.record.attempt;
  p.what.number = r.record.number;
  p.what.reason = r.record.reason;
  p.what.base = r.record.base;
  p.what.files = kept.files;
  p.what.commit = id;
  taken.prepared = std::move(p);
  taken.files.emplace();
  co_return taken;
}

auto virtual_task_store::publish_checkpoint(checkpoint::prepared p, git::snapshot, bool)
    -> awaited<std::string> {
  co_await turn();
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "moving a ref")) co_return *bad;
  ref& wip = w_.disk.wip[task_];
  const bool foreign = wip.visible != p.old && wip.visible != p.what.commit;
  wip.visible = p.what.commit;
  w_.name(p.what.commit);
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "syncing a ref")) co_return *bad;
  if (wip.visible == p.what.commit) wip.durable = p.what.commit;
  last_ = w_.disk.checkpoints.at(p.what.commit).work;
  w_.note("checkpoint {} of {} holds {:b}", p.what.number.value(), p.what.task.str(), *last_);
  co_return foreign ? std::string("a foreign value was kept") : std::string();
}

/// What a chain that was begun anew has given up. Beside the calls of this task's worker.
auto virtual_task_store::remove_unreachable(std::stop_token stop)
    -> awaited<std::optional<std::uint64_t>> {
  co_await owner_.pass(w_.disk_time());
  if (auto bad = disk_fault(w_, owner_, "removing what no ref reaches")) co_return *bad;
  if (stop.stop_requested()) co_return fail(errc::stopped, "stopped");
  if (w_.random.one_in(4)) co_return std::optional<std::uint64_t>();
  w_.drop_unreachable();
  co_return std::optional<std::uint64_t>(1);
}

auto virtual_task_store::remove_checkpoint(git::oid record) -> awaited<void> {
  co_await turn();
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "deleting a ref")) {
    w_.check->excuse_ref(task_);
    co_return *bad;
  }
  const bool ours = w_.disk.checkpoints.at(record).rerun == w_.is_rerun;
  ref& wip = (ours ? w_.disk.wip : w_.disk.old_wip)[task_];
  if (wip.visible.is_zero()) co_return result<void>();
  w_.check->checkpoint_goes(task_);
  if (wip.visible != record) {
    w_.check->excuse_ref(task_);
    co_return fail(errc::ref_moved, "a newer checkpoint is there");
  }
  wip.visible = git::oid();
  co_await turn();
  if (wip.visible.is_zero()) wip.durable = git::oid();
  co_return result<void>();
}

auto virtual_task_store::files_commit(git::oid record) -> awaited<git::oid> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "reading a checkpoint")) co_return *bad;
  co_return w_.disk.checkpoints.at(record).files;
}

auto virtual_task_store::saved_transcript(git::oid record, attempt_no attempt)
    -> awaited<run::transcript_sizes> {
  co_await turn();
  const saved_state& c = w_.disk.checkpoints.at(record);
  if (c.attempt != attempt.value()) co_return run::transcript_sizes{};
  co_return run::transcript_sizes{c.out, c.err};
}

auto virtual_task_store::changes_since(git::oid, git::oid, std::size_t)
    -> awaited<run::task_changes> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "reading changes")) co_return *bad;
  co_return run::task_changes{};
}

auto virtual_task_store::publish_result(run::result_request r) -> awaited<run::result_made> {
  co_await turn();
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "making a result")) co_return *bad;
  run::result_made made;
  made.commit = r.published;
  if (r.published.is_zero()) {
    const saved_state& c = w_.disk.checkpoints.at(r.record);
    made.commit = c.files;  // the same, made again
    w_.check->result_made(task_, c.work);
    w_.disk.results[made.commit] = c.work;
    w_.disk.result[task_].visible = made.commit;
    co_await turn();
    if (auto bad = disk_fault(w_, owner_, "syncing a result")) co_return *bad;
    w_.disk.result[task_].durable = made.commit;
  }
  co_return made;
}

auto virtual_task_store::user_branches() -> awaited<std::vector<std::string>> {
  co_await turn();
  co_return std::vector<std::string>();
}

// --- an attempt's files ---

auto virtual_task_store::begin_attempt(std::string name, std::string state, std::string prompt)
    -> awaited<void> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "writing an attempt's files")) co_return *bad;
  attempt_dir& dir = w_.disk.attempts[name];
  dir.state = std::move(state);
  dir.prompt = std::move(prompt);
  co_return result<void>();
}

auto virtual_task_store::read_attempt(std::string name) -> awaited<run::attempt_files> {
  co_await turn();
  if (auto bad = disk_fault(w_, owner_, "reading an attempt's files")) co_return *bad;
  const attempt_dir& dir = w_.disk.attempts[name];
  co_return run::attempt_files{dir.state, dir.prompt, dir.out, dir.err, {}};
}

result<process::attempt_remains> virtual_task_store::inspect_attempt(const std::string& name) {
  const bool alive = w_.living(name) != nullptr;
  return process::attempt_remains{.alive = alive, .empty = !alive, .exit = std::nullopt};
}

std::string virtual_task_store::notes(std::size_t) {
  return {};
}

std::string virtual_task_store::result_text(std::size_t) {
  return {};
}

}  // namespace remora::sim

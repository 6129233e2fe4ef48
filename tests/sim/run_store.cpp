#include "sim/run_store.hpp"

#include <boost/json.hpp>

#include "sim/checker.hpp"
#include "sim/life.hpp"

namespace remora::sim {
namespace {

class virtual_journal final : public run::journal_file {
 public:
  virtual_journal(world& w, life& owner) : w_(w), owner_(owner) {}

  result<void> append(std::string_view bytes) override {
    w_.check->writes(&owner_, "wrote to the journal");
    if (w_.goes_wrong(w_.odds.fault)) {
      owner_.faulted = true;
      return os_error(ENOSPC, "cannot append to the journal");
    }
    w_.disk.journal += bytes;
    if (w_.goes_wrong(w_.odds.fault)) w_.power_fails = true;
    return {};
  }

  result<void> sync() override {
    if (w_.power_fails) return os_error(EIO, "no power");
    if (w_.goes_wrong(w_.odds.fault)) {
      owner_.faulted = true;
      return os_error(EIO, "cannot sync the journal");
    }
    w_.check->synced(std::string_view(w_.disk.journal).substr(w_.disk.synced));
    w_.disk.synced = w_.disk.journal.size();
    return {};
  }

 private:
  world& w_;
  life& owner_;
};

}  // namespace

result<run::run_preview> virtual_run_store::preview(const run::plan& p) {
  run::run_preview view;
  for (std::size_t i = 0; i < p.tasks.size(); ++i) {
    const run::task_plan& t = p.tasks[i];
    const unsigned char raw[20] = {1, static_cast<unsigned char>(i)};
    if (!t.base_task)
      view.bases[t.id.str()] = t.base.empty() ? git::oid(raw) : git::oid::parse(t.base).value();
  }
  return view;
}

run::run_layout virtual_run_store::layout(const run_id& run) const {
  return run::run_layout("/repository", run);
}

result<std::optional<run::record>> virtual_run_store::read_journal_head(const run_id&) {
  if (!w_.disk.journal_there) return fail(errc::no_match, "there is no journal");
  return run::parse_journal_head(w_.disk.journal, "journal");
}

void virtual_run_store::remove_half_made(const std::string& name) {
  const auto slot = w_.disk.slots.find(name);
  if (slot == w_.disk.slots.end() || !slot->second.half) return;
  w_.note("worktree {} is swept", name);
  w_.check->slot_goes(name, slot->second);
  w_.disk.slots.erase(slot);
}

void virtual_run_store::sweep() {
  std::vector<std::string> all;
  for (const auto& [name, slot] : w_.disk.slots) all.push_back(name);
  for (const std::string& name : all) remove_half_made(name);
  if (w_.disk.owner || !w_.disk.journal_there) return;
  const auto contents = run::parse_journal(w_.disk.journal, "journal");
  if (!contents || !contents->records.empty()) return;
  w_.disk.journal.clear();
  w_.disk.synced = 0;
  w_.disk.journal_there = false;
}

result<void> virtual_run_store::sync_objects() {
  if (auto bad = disk_fault(w_, owner_, "syncing objects")) return *bad;
  return {};
}

auto virtual_run_store::commit_checkout(std::int64_t) -> awaited<run::checkout_base> {
  co_return fail(errc::unsupported, "there is no checkout");
}

result<void> virtual_run_store::open(const run_id&, const run::plan&) {
  if (w_.disk.owner) return fail(errc::held, "the run is held");
  if (auto bad = disk_fault(w_, owner_, "opening the run")) return *bad;
  w_.disk.owner = &owner_;
  w_.note("an orchestrator holds the run");
  return {};
}

result<void> virtual_run_store::check() const {
  if (w_.disk.owner == &owner_) return {};
  return fail(errc::held, "the run's lock is another orchestrator's");
}

result<std::vector<std::string>> virtual_run_store::remove_ref_locks() {
  return std::vector<std::string>();
}

result<run::journal_contents> virtual_run_store::read_journal() {
  if (!w_.disk.journal_there) return fail(errc::no_match, "there is no journal");
  auto contents = run::parse_journal(w_.disk.journal, "journal");
  if (!contents) {
    w_.broken("the journal is refused: " + contents.error().what);
    return contents;
  }
  w_.note("the journal holds {} records, {} bytes of {}, {} of them durable",
          contents->records.size(), contents->valid_bytes, w_.disk.journal.size(), w_.disk.synced);
  if (contents->valid_bytes < w_.disk.synced)
    w_.broken("durable records of the journal are dropped");
  return contents;
}

result<std::unique_ptr<run::journal_file>> virtual_run_store::open_journal(
    std::uint64_t valid_bytes) {
  if (auto bad = disk_fault(w_, owner_, "opening the journal")) return *bad;
  w_.check->writes(&owner_, "opened the journal");
  w_.disk.journal_there = true;
  w_.disk.removed_journal.clear();
  if (valid_bytes < w_.disk.synced) w_.broken("the journal is cut where it was durable");
  w_.disk.journal.resize(valid_bytes);
  w_.check->synced(std::string_view(w_.disk.journal).substr(w_.disk.synced));
  w_.disk.synced = valid_bytes;
  return std::unique_ptr<run::journal_file>(std::make_unique<virtual_journal>(w_, owner_));
}

result<std::unique_ptr<run::task_store>> virtual_run_store::open_task(const run::task_plan& task) {
  if (auto bad = disk_fault(w_, owner_, "opening the repository")) return *bad;
  return std::unique_ptr<run::task_store>(
      std::make_unique<virtual_task_store>(w_, owner_, w_.index_of(task.id.str()), free_));
}

auto virtual_run_store::remove_free_slots() -> awaited<void> {
  const std::vector<std::string> unused = std::exchange(free_, {});
  for (const std::string& slot : unused) {
    co_await owner_.pass(w_.disk_time());
    if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
    if (auto bad = disk_fault(w_, owner_, "removing a worktree")) co_return *bad;
    remove_half_made(slot);
  }
  co_return result<void>();
}

void virtual_run_store::remove_run() {
  w_.check->writes(&owner_, "removed the run's directory");
  w_.check->run_goes();
  w_.disk.removed_journal = std::exchange(w_.disk.journal, {});
  w_.disk.synced = 0;
  w_.disk.journal_there = false;
}

auto virtual_run_store::record_start(boost::json::object, std::vector<git::oid>,
                                     std::optional<run_id>) -> awaited<void> {
  co_await owner_.pass(w_.disk_time());
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "beginning the record")) co_return *bad;
  w_.disk.record.started = true;
  co_await owner_.pass(w_.disk_time());
  if (auto bad = disk_fault(w_, owner_, "syncing the record")) {
    w_.disk.record.started = false;
    co_return *bad;
  }
  w_.disk.record.started_durable = true;
  co_return result<void>();
}

auto virtual_run_store::record_open() -> awaited<void> {
  co_await owner_.pass(w_.disk_time());
  if (!w_.disk.record.started) co_return fail(errc::no_match, "there is no record");
  w_.disk.record.started_durable = true;
  co_return result<void>();
}

auto virtual_run_store::record_task(task_id task, boost::json::object payload,
                                    std::optional<git::oid>, std::optional<git::oid>)
    -> awaited<void> {
  co_await owner_.pass(w_.disk_time());
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "recording a task")) co_return *bad;
  recorded_task& ended = w_.disk.record.tasks[task.str()];
  if (payload.at("outcome") == "succeeded")
    ended.result = git::oid::parse(payload.at("commit").as_string()).value();
  co_await owner_.pass(w_.disk_time());
  if (auto bad = disk_fault(w_, owner_, "syncing the record")) co_return *bad;
  ended.durable = true;
  co_return result<void>();
}

auto virtual_run_store::record_missing_task(task_id task, boost::json::object payload,
                                            std::optional<git::oid> record) -> awaited<void> {
  if (w_.disk.record.tasks.contains(task.str())) co_return result<void>();
  co_return co_await record_task(std::move(task), std::move(payload), record, std::nullopt);
}

auto virtual_run_store::record_end(boost::json::object) -> awaited<void> {
  co_await owner_.pass(w_.disk_time());
  if (w_.disk.owner != &owner_) co_return fail(errc::held, "the run is another's");
  if (auto bad = disk_fault(w_, owner_, "ending the record")) co_return *bad;
  w_.disk.record.ended = true;
  co_await owner_.pass(w_.disk_time());
  if (auto bad = disk_fault(w_, owner_, "syncing the record")) co_return *bad;
  w_.disk.record.ended_durable = true;
  for (auto& [task, done] : w_.disk.record.tasks) done.durable = true;
  co_return result<void>();
}

}  // namespace remora::sim

#include <remora/run/rebuild.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <remora/agent/state.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/text.hpp>
#include <remora/git/worktree.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/run_record.hpp>
#include <remora/supervise/verdicts.hpp>

namespace remora::run {
namespace json = boost::json;
namespace fs = std::filesystem;
namespace {

/// A shim whose orchestrator has died needs its 2 s of grace and the time to end what is left.
constexpr std::chrono::seconds longest_shim_wait{5};

class writer {
 public:
  explicit writer(std::string now) : now_(std::move(now)) {}
  void add(std::string type, json::object payload) {
    const record r{++last_, now_, std::move(type), std::move(payload)};
    // All of it is durable at once, or not there.
    text_ += journal_line(r, 0, boot_id(), last_ - 1);
  }
  const std::string& text() const noexcept { return text_; }

 private:
  std::string now_;
  std::string text_;
  sequence last_ = 0;
};

struct counts {
  std::size_t ended = 0, checkpoints = 0, anew = 0;
};

/// What the rebuilding of one run works with.
struct source {
  git::repository& repo;
  checkpoint::store& store;
  const recorded_run& recorded;
  const plan& what;
  run_id run;
  fs::path slots;
  fs::path attempts;
};

result<void> check_alone(const run_id& run) {
  REMORA_TRY(const auto shims, process::find_shims(run.str() + "."));
  for (const process::running_shim& shim : shims) {
    if (process::await_end(shim.who, longest_shim_wait)) continue;
    return fail(errc::held,
                fmt::format("{} of run {} still works, below process {}, which goes on without its "
                            "journal: end that, or wait until it finds out at its next write",
                            printable(shim.name), run.str(), shim.parent));
  }
  return {};
}

/// The highest number of an attempt that has a directory: more were begun than a checkpoint knows.
std::uint32_t last_begun(const source& from, const task_id& task) {
  std::uint32_t last = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(from.attempts, ec)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(task.str() + ".")) continue;
    const std::string digits = name.substr(task.str().size() + 1);
    std::uint32_t n = 0;
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (bad == std::errc() && end == digits.data() + digits.size()) last = std::max(last, n);
  }
  return last;
}

json::object about(const task_plan& task, json::object payload) {
  payload["task"] = task.id.str();
  return payload;
}

void add_attempt(const task_plan& task, std::uint32_t number, const std::string& agent, writer& w) {
  w.add("attempt_started",
        about(task, {{"attempt", number}, {"agent", agent}, {"continues", number > 1}}));
}

/// The lives that the state of the newest checkpoint knows. Its own was not over when it was made,
/// whatever was to be its end.
std::uint32_t add_known_attempts(const task_plan& task, const checkpoint::record& newest,
                                 const agent::state& mind, writer& w) {
  std::uint32_t last = 0;
  for (const agent::attempt_record& a : mind.attempts()) {
    add_attempt(task, a.number, a.agent, w);
    last = a.number;
    if (!a.ended_with || a.number == newest.attempt.value()) continue;
    w.add("attempt_ended",
          about(task, {{"attempt", a.number},
                       {"verdict", agent::name(a.ended_with->verdict)},
                       {"detail", a.ended_with->detail},
                       {"text", a.ended_with->text},
                       {"counted", supervise::rule_of(a.ended_with->verdict).counts}}));
  }
  return last;
}

void add_started(const source& from, const task_plan& task, const git::oid& base, writer& w) {
  w.add("task_started", about(task, {{"base", base.hex()},
                                     {"branch", checkpoint::task_branch(from.run, task.id)},
                                     {"agent", task.agents.front()}}));
}

void add_ended(const source& from, const task_plan& task, const json::object& payload, writer& w) {
  if (const auto base = git::oid::parse(json_text(payload, "base")))
    add_started(from, task, *base, w);
  if (const auto commit = git::oid::parse(json_text(payload, "commit")))
    w.add("result_published", about(task, {{"commit", commit->hex()},
                                           {"whole", !json_flag(payload, "checkpoint_kept")}}));
  w.add("task_ended", about(task, payload));
}

result<std::optional<checkpoint::record>> newest(const source& from, const task_plan& task) {
  auto found = from.store.newest(from.run, task.id);
  if (found || !found.error().is(errc::corrupt)) return found;
  REMORA_TRY(checkpoint::record older, from.store.newest_readable(from.run, task.id));
  return std::optional(std::move(older));
}

/// What the plan says of the base, where that is a commit and not another task's result.
git::oid planned_base(const source& from, const task_plan& task) {
  const json::value* bases = from.recorded.run.if_contains("bases");
  const auto base = bases && bases->is_object()
                        ? git::oid::parse(json_text(bases->get_object(), task.id.str()))
                        : git::oid::parse("");
  return base ? *base : git::oid();
}

/// A worktree may hold what no checkpoint does, so its life counts as begun: it is saved before the
/// next one.
void add_open_attempt(const source& from, const task_plan& task, const fs::path& slot,
                      std::uint32_t known, bool known_is_open, writer& w) {
  const std::uint32_t begun = last_begun(from, task.id);
  w.add("slot_lent", about(task, {{"slot", slot.string()}, {"in_place", true}}));
  if (begun > known || !known_is_open)
    add_attempt(task, std::max(begun, known + 1), task.agents.front(), w);
}

result<void> add_task(const source& from, const task_plan& task, counts& c, writer& w) {
  const auto ended = from.recorded.tasks.find(task.id.str());
  if (ended != from.recorded.tasks.end()) {
    ++c.ended;
    add_ended(from, task, ended->second, w);
    return {};
  }
  REMORA_TRY(const auto record, newest(from, task));
  REMORA_TRY(
      const auto slot,
      git::reclaim_worktree(from.repo, checkpoint::task_branch(from.run, task.id), from.slots));
  const git::oid base = record ? record->base : planned_base(from, task);
  if (base.is_zero() || (!record && !slot)) return {};  // it had not begun, or left nothing
  add_started(from, task, base, w);
  std::uint32_t known = 0;
  bool known_is_open = false;
  if (record) {
    ++c.checkpoints;
    REMORA_TRY(const std::string state, from.store.read_state(*record));
    REMORA_TRY(const agent::state mind, agent::state::from_json(state));
    known = add_known_attempts(task, *record, mind, w);
    known_is_open = known == record->attempt.value();
    w.add("checkpoint_saved", about(task, {{"attempt", record->attempt.value()},
                                           {"checkpoint", record->number.value()},
                                           {"commit", record->files.hex()},
                                           {"record", record->commit.hex()},
                                           {"old", record->previous.value_or(git::oid()).hex()},
                                           {"reason", record->reason}}));
  } else {
    ++c.anew;
  }
  if (slot) add_open_attempt(from, task, *slot, known, known_is_open, w);
  return {};
}

std::vector<std::string> remarks_on(const run_id& run, const plan& what, const counts& c) {
  const std::size_t fresh = what.tasks.size() - c.ended - c.checkpoints - c.anew;
  return {fmt::format("the journal of run {} was lost, and is made anew of what git has: {} tasks "
                      "have ended, {} go on from their checkpoints, {} from their worktrees, {} "
                      "start from the beginning",
                      run.str(), c.ended, c.checkpoints, c.anew, fresh),
          "not known any more: warnings and events of the run so far, and lives that ended after "
          "a task's last checkpoint (they do not count towards `attempts`)"};
}

result<std::vector<std::string>> write_anew(git::repository& repo, const run_id& run,
                                            const recorded_run& recorded, const plan& what) {
  REMORA_TRY(const fs::path slots, slots_root(repo, what.workspace.dir));
  const run_layout layout(repo.common_dir(), run);
  git::object_writer objects(repo);
  checkpoint::store store(repo, objects, true);
  const source from{repo, store, recorded, what, run, slots, layout.root / "attempts"};
  writer w(iso8601(machine_clock().wall()));
  w.add("run_started", recorded.run);
  counts c;
  for (const task_plan& task : what.tasks) {
    auto added = add_task(from, task, c, w);
    if (!added) return within(fmt::format("task '{}'", task.id.str()), added.error());
  }
  std::vector<std::string> remarks = remarks_on(run, what, c);
  for (const std::string& text : remarks) w.add("warning", {{"text", text}});
  REMORA_CHECK(write_file_durably(layout.journal(), w.text()));
  return remarks;
}

}  // namespace

bool is_from_here(const git::repository& repo, const recorded_run& run) {
  const auto what = recorded_plan(run.run);
  if (!what || json_text(run.run, "host") != host_name()) return false;
  return same_place(what->repo, repo.work_dir().value_or(repo.common_dir())) ||
         same_place(what->repo, repo.common_dir());
}

result<std::vector<std::string>> rebuild_journal(git::repository& repo, const run_id& run) {
  REMORA_TRY(const recorded_run recorded, read_run(repo, run));
  if (recorded.ended())
    return fail(errc::no_match, fmt::format("run {} has ended: there is nothing to resume; 'remora "
                                            "rerun {}' starts what did not succeed",
                                            run.str(), run.str()));
  REMORA_TRY(const plan what, recorded_plan(recorded.run));
  // A clone that fetched the record is another repository: the run may live in the first one.
  if (!is_from_here(repo, recorded))
    return fail(
        errc::no_match,
        fmt::format("run {} has no journal here; it was started on {} in {}: resume it "
                    "there, or 'remora rerun {}' starts what it left unfinished as a new run",
                    run.str(), printable(json_text(recorded.run, "host")),
                    to_utf8(what.repo.string()), run.str()));
  REMORA_CHECK(check_alone(run));
  const run_layout layout(repo.common_dir(), run);
  REMORA_TRY(const run_lock lock, run_lock::take(layout));
  const auto there = read_journal(layout.journal());
  if (there && !there->records.empty()) return std::vector<std::string>();
  if (!there && !there.error().is(errc::no_match)) return there.error();
  return write_anew(repo, run, recorded, what);
}

result<std::vector<std::string>> replace_journal(git::repository& repo, const run_id& run) {
  const run_layout layout(repo.common_dir(), run);
  const fs::path kept =
      layout.root / fmt::format("journal.damaged-{}", iso8601(machine_clock().wall()));
  {
    REMORA_TRY(const run_lock lock, run_lock::take(layout));
    const auto there = read_journal(layout.journal());
    if (there || !there.error().is(errc::corrupt)) return std::vector<std::string>();
    std::error_code ec;
    fs::rename(layout.journal(), kept, ec);
    if (ec) return os_error(ec.value(), "cannot set the damaged journal aside");
  }
  auto remarks = rebuild_journal(repo, run);
  if (!remarks) {  // without another one, a damaged journal is better than none
    std::error_code ignored;
    if (!fs::exists(layout.journal(), ignored)) fs::rename(kept, layout.journal(), ignored);
    return remarks.error();
  }
  remarks->push_back(fmt::format("the damaged journal is kept as {}", kept.string()));
  return remarks;
}

}  // namespace remora::run

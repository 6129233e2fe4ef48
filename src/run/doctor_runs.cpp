// Runs that have not ended: who holds them, what their journals say, what would be resumed.
#include <fmt/format.h>

#include <algorithm>
#include <remora/core/text.hpp>
#include <remora/run/leftovers.hpp>
#include <remora/run/preview.hpp>
#include <remora/run/rebuild.hpp>
#include <set>

#include "run/doctor_parts.hpp"

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// A shim that was told needs its 2 s of grace and the time to end what is left.
constexpr std::chrono::seconds longest_end{10};

result<std::vector<fs::path>> living_attempts(const run_layout& layout) {
  std::vector<fs::path> living;
  std::error_code ec;
  fs::directory_iterator at(layout.root / "attempts", ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec)) {
    if (std::error_code none; !at->is_directory(none)) continue;
    const auto remains = process::inspect_attempt(at->path());
    if (!remains && !remains.error().is(errc::corrupt)) return remains.error();
    if (remains && remains->alive) living.push_back(at->path());
  }
  if (ec && ec != std::errc::no_such_file_or_directory)
    return os_error(ec.value(), "cannot list the attempts in " + to_utf8(layout.root.string()));
  std::ranges::sort(living);
  return living;
}

/// Tells all first: their graces pass at the same time.
result<std::size_t> end_agents(const run_layout& layout) {
  REMORA_TRY(const std::vector<fs::path> living, living_attempts(layout));
  for (const fs::path& dir : living) REMORA_CHECK(process::give_up_attempt(dir));
  for (const fs::path& dir : living) {
    REMORA_TRY(const auto shim, process::shim_in(dir));
    if (!shim || process::await_end(*shim, longest_end)) continue;
    return fail(errc::environment,
                fmt::format("the agent of {} does not end: process {} and those below it",
                            dir.filename().string(), shim->pid));
  }
  return living.size();
}

result<std::string> take_from_stopped(const git::repository& repo, const run_id& run) {
  const run_layout layout(repo.common_dir(), run);
  REMORA_TRY(const run_lock lock, run_lock::replace_stopped(layout));
  REMORA_TRY(const std::size_t ended, end_agents(layout));
  return fmt::format(
      "took run {} from its stopped owner, generation {}; {} agents were ended: "
      "'remora resume {}' goes on",
      run.str(), lock.generation(), ended, run.str());
}

result<std::string> end_orphans(const git::repository& repo, const run_id& run) {
  const run_layout layout(repo.common_dir(), run);
  REMORA_TRY(const run_lock lock, run_lock::take(layout));
  REMORA_TRY(const std::size_t ended, end_agents(layout));
  return ended > 0 ? fmt::format("ended {} agents of run {}", ended, run.str()) : std::string();
}

std::string joined(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, "; "));
}

void examine_live(const run_id& run, const lock_look& look, findings& found) {
  const std::string who = look.holder ? look.holder->text() : "another remora";
  if (look.life != holder_life::stopped) {
    found.push_back(
        {.kind = "run-live",
         .subject = run.str(),
         .text = fmt::format(
             "{} works on it{}", who,
             look.life == holder_life::unknown ? ", which cannot be seen from here" : ""),
         .remedy = "",
         .note = true});
    return;
  }
  finding f{.kind = "owner-stopped",
            .subject = run.str(),
            .text = fmt::format("{} holds it and is stopped: nobody watches its agents, and no "
                                "other remora can go on",
                                who),
            .remedy = fmt::format("the run is taken from it and its agents are ended, for 'remora "
                                  "resume {}' to go on; or 'kill -CONT {}' lets it go on itself",
                                  run.str(), look.holder->who.pid)};
  f.fix = [run](git::repository& repo) { return take_from_stopped(repo, run); };
  found.push_back(std::move(f));
}

void examine_open_tasks(const run_id& run, const run_fold& fold, findings& found) {
  std::vector<std::string> open;
  for (const std::string& id : fold.order) {
    const task_fold& t = fold.tasks.at(id);
    if (t.is_done()) continue;
    open.push_back(t.saved ? fmt::format("{} from checkpoint {}", id, t.saved->number.value())
                           : fmt::format("{} from its base", id));
    if (!t.slot.empty() && !fs::exists(t.slot))
      found.push_back({.kind = "worktree-gone",
                       .subject = run.str() + "/" + id,
                       .text = fmt::format("its worktree {} is not there: it goes on in a new one, "
                                           "from its last checkpoint",
                                           to_utf8(t.slot)),
                       .remedy = "",
                       .note = true});
  }
  found.push_back(
      {.kind = "run-interrupted",
       .subject = run.str(),
       .text = open.empty() ? fmt::format("all is done but its end: 'remora resume {}' records it",
                                          run.str())
                            : fmt::format("nobody works on it; 'remora resume {}' goes on with {}",
                                          run.str(), joined(open)),
       .remedy = "",
       .note = true});
}

void examine_programs(const run_id& run, const run_fold& fold, findings& found) {
  const auto what = recorded_plan(fold.started);
  if (!what) return;
  std::set<std::string> asked;
  for (const task_plan& t : what->tasks) {
    const auto task = fold.tasks.find(t.id.str());
    if (task == fold.tasks.end() || task->second.is_done()) continue;
    for (const std::string& name : t.agents) {
      if (!asked.insert(name).second) continue;
      const auto program = find_agent_program(*what, what->agents.at(name));
      if (!program)
        found.push_back({.kind = "program",
                         .subject = run.str() + ": " + name,
                         .text = program.error().what + "; its tasks would fail at 'remora resume'",
                         .remedy = "install it before the run goes on"});
    }
  }
}

void examine_agents(const run_id& run, const run_layout& layout, findings& found) {
  const auto living = living_attempts(layout);
  if (!living || living->empty()) return;
  finding f{.kind = "agents-alive",
            .subject = run.str(),
            .text = fmt::format("{} of its agents live though nobody works on it: they are ending, "
                                "or were left by an owner that was replaced",
                                living->size()),
            .remedy = "they are ended; what they did is saved by the next 'remora resume'"};
  f.fix = [run](git::repository& repo) { return end_orphans(repo, run); };
  found.push_back(std::move(f));
}

void examine_journal_error(const run_id& run, const error& e, findings& found) {
  finding f{.kind = "journal",
            .subject = run.str(),
            .text = e.what,
            .remedy = "use the version of remora that began the run"};
  if (e.is(errc::corrupt)) {
    f.kind = "journal-damaged";
    f.remedy =
        "it is set aside, and made anew of what git has: no checkpoint is lost, only what "
        "was told of the run so far; or restore the file from a copy";
    f.fix = [run](git::repository& repo) -> result<std::string> {
      REMORA_TRY(const auto remarks, replace_journal(repo, run));
      return joined(remarks);
    };
  } else if (!e.is(errc::unsupported)) {
    f.remedy = "make it readable";
  }
  found.push_back(std::move(f));
}

void examine_local(const git::repository& repo, const run_id& run, findings& found) {
  const run_layout layout(repo.common_dir(), run);
  const lock_look look = look_at_lock(layout);
  if (look.held) return examine_live(run, look, found);
  const auto contents = read_journal(layout.journal());
  if (!contents) return examine_journal_error(run, contents.error(), found);
  const run_fold fold = fold_records(contents->records);
  examine_agents(run, layout, found);
  examine_open_tasks(run, fold, found);
  examine_programs(run, fold, found);
}

void examine_lost(const git::repository& repo, const run_id& run, findings& found) {
  const auto recorded = read_run(repo, run);
  if (!recorded || !is_from_here(repo, *recorded)) return;
  finding f{.kind = "journal-lost",
            .subject = run.str(),
            .text = "it has not ended, and its journal is gone: somebody removed it",
            .remedy = fmt::format("the journal is made anew of what git has; 'remora resume {}' "
                                  "does so too, and goes on; 'remora drop' gives the run up",
                                  run.str())};
  f.fix = [run](git::repository& r) -> result<std::string> {
    REMORA_TRY(const auto remarks, rebuild_journal(r, run));
    return joined(remarks);
  };
  found.push_back(std::move(f));
}

}  // namespace

void examine_runs(git::repository& repo, findings& found) {
  std::set<run_id> runs;
  for (run_id& run : local_runs(repo)) runs.insert(std::move(run));
  if (auto recorded = recorded_runs(repo))
    for (run_id& run : *recorded) runs.insert(std::move(run));
  for (const run_id& run : runs) {
    const run_trace trace = trace_of(repo, run);
    if (trace == run_trace::open) examine_local(repo, run, found);
    if (trace == run_trace::lost) examine_lost(repo, run, found);
  }
}

}  // namespace remora::run

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <random>
#include <remora/core/json_fields.hpp>
#include <remora/run/rebuild.hpp>
#include <remora/run/run_lock.hpp>
#include <remora/run/view.hpp>
#include <set>

namespace remora::run {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

/// The fold that the record alone allows: a run that was cut off on another machine.
run_fold fold_record(const recorded_run& r) {
  run_fold fold;
  record first{1, json_text(r.run, "started"), "run_started", r.run};
  fold.apply(first);
  for (const auto& [task, payload] : r.tasks) {
    const auto known = fold.tasks.find(task);
    if (known == fold.tasks.end()) continue;
    known->second.ended = payload;
    known->second.phase = "ended";
  }
  if (const json::value* ended = r.run.if_contains("ended"); ended && ended->is_object())
    fold.ended = ended->get_object();
  return fold;
}

/// Nothing: it was never put there, since the run was cut off on another machine.
result<std::optional<journal_contents>> recorded_journal(const git::repository& repo,
                                                         const recorded_run& r) {
  REMORA_TRY(const git::commit_info commit, repo.read_commit(r.tip));
  REMORA_TRY(const auto log, repo.read_path(commit.tree, "journal.jsonl"));
  if (!log) return std::optional<journal_contents>();
  REMORA_TRY(auto contents, parse_journal(*log, r.id + ":journal.jsonl"));
  return std::optional(std::move(contents));
}

}  // namespace

result<std::vector<run_id>> all_runs(const git::repository& repo) {
  REMORA_TRY(const auto recorded, recorded_runs(repo));
  std::set<run_id, std::greater<>> ids(recorded.begin(), recorded.end());
  for (run_id& id : local_runs(repo)) {
    if (ids.contains(id)) continue;
    // One that was killed before its first record was durable has never been announced.
    const auto head = read_journal_head(run_layout(repo.common_dir(), id).journal());
    const bool never_began = head ? !*head : head.error().is(errc::no_match);
    if (!never_began) ids.insert(std::move(id));
  }
  return std::vector<run_id>(ids.begin(), ids.end());
}

wall_time started_at(const run_id& id) {
  std::tm tm{};
  ::strptime(id.str().c_str(), "%Y%m%d-%H%M%S", &tm);
  return std::chrono::system_clock::from_time_t(::timegm(&tm));
}

result<run_id> next_id(const git::repository& repo, wall_time now) {
  constexpr int tries = 64;  // of 2^20 ids a second; then the next second will do as well
  REMORA_TRY(const auto ids, all_runs(repo));
  // The newest may be of a later second: then this was done before, or the clock was set back.
  if (!ids.empty()) now = std::max(now, started_at(ids.front()));
  std::random_device random;
  for (;; now += std::chrono::seconds(1)) {
    for (int i = 0; i < tries; ++i) {
      run_id id = run_id::make(now, random());
      if (ids.empty() || id > ids.front()) return id;
    }
  }
}

result<run_id> find_run(const git::repository& repo, std::string_view selector) {
  REMORA_TRY(const auto ids, all_runs(repo));
  if (ids.empty())
    return fail(errc::no_match, "there is no run in this repository yet; 'remora run' starts one");
  if (selector == "last") {
    // Ids of one second have no order: then the one that has not ended is the newer one.
    const std::string second = ids.front().str().substr(0, 15);
    for (const run_id& id : ids)
      if (id.str().starts_with(second) && fs::exists(run_layout(repo.common_dir(), id).journal()))
        return id;
    return ids.front();
  }
  std::vector<run_id> found;
  for (const run_id& id : ids) {
    if (id.str() == selector) return id;
    if (!selector.empty() && (id.str().starts_with(selector) || id.str().ends_with(selector)))
      found.push_back(id);
  }
  if (found.empty())
    return fail(errc::no_match,
                fmt::format("no run matches '{}'; 'remora list' shows them", selector));
  if (found.size() == 1) return found.front();
  std::string names;
  for (const run_id& id : found) names += " " + id.str();
  return fail(errc::ambiguous,
              fmt::format("'{}' matches {} runs:{}", selector, found.size(), names));
}

result<selection> select(const git::repository& repo, std::string_view selector) {
  const std::size_t slash = selector.find('/');
  REMORA_TRY(run_id run, find_run(repo, selector.substr(0, slash)));
  selection s{.run = std::move(run), .task = {}, .checkpoint = {}};
  if (slash == selector.npos) return s;
  std::string_view task = selector.substr(slash + 1);
  if (const std::size_t at = task.rfind('@'); at != task.npos) {
    const std::string_view digits = task.substr(at + 1);
    std::int64_t n = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (ec != std::errc() || end != digits.data() + digits.size() || n == 0)
      return fail(errc::usage,
                  fmt::format("'@{}' is not a checkpoint: @3, or @-1 for the newest", digits));
    s.checkpoint = n;
    task = task.substr(0, at);
  }
  REMORA_TRY(s.task, task_id::parse(task));
  REMORA_TRY(const run_view view, load_run(repo, s.run));
  if (!view.fold.tasks.contains(s.task->str()))
    return fail(errc::no_match, fmt::format("run {} has no task '{}'", s.run.str(), s.task->str()));
  return s;
}

std::string run_view::state() const {
  if (live) return "running";
  std::size_t open = 0, bad = 0;
  for (const auto& [name, task] : fold.tasks) {
    if (!task.is_done())
      ++open;
    else if (task.outcome() != "succeeded")
      ++bad;
  }
  if (open > 0) return "interrupted";
  return bad > 0 ? "failed" : "succeeded";
}

result<run_view> load_run(const git::repository& repo, const run_id& id) {
  const run_layout layout(repo.common_dir(), id);
  run_view view{.id = id, .fold = {}, .live = is_live(layout), .local = false};
  auto contents = read_journal(layout.journal());
  if (!contents && !contents.error().is(errc::no_match)) return contents.error();
  view.local = contents.has_value();
  if (!contents) {
    REMORA_TRY(const recorded_run recorded, read_run(repo, id));
    REMORA_TRY(auto log, recorded_journal(repo, recorded));
    if (!log) {
      view.fold = fold_record(recorded);
      view.local = is_from_here(repo, recorded);  // then `resume` makes its journal anew
      return view;
    }
    contents = std::move(*log);
  }
  view.fold = fold_records(contents->records);
  return view;
}

result<std::vector<record>> load_records(const git::repository& repo, const run_id& id) {
  auto contents = read_journal(run_layout(repo.common_dir(), id).journal());
  if (contents) return std::move(contents->records);
  if (!contents.error().is(errc::no_match)) return contents.error();
  REMORA_TRY(const recorded_run recorded, read_run(repo, id));
  REMORA_TRY(auto log, recorded_journal(repo, recorded));
  if (!log) return fail(errc::no_match, fmt::format("the journal of run {} is not here", id.str()));
  return std::move(log->records);
}

result<checkpoint::record> find_checkpoint(const checkpoint::store& store, const run_id& run,
                                           const task_id& task, std::int64_t n) {
  REMORA_TRY(auto history, store.history(run, task));
  const auto wanted =
      n > 0 ? std::ranges::find_if(history, [&](const auto& r) { return r.number.value() == n; })
            : (static_cast<std::size_t>(-n) <= history.size() ? history.begin() + (-n - 1)
                                                              : history.end());
  if (wanted == history.end())
    return fail(errc::no_match, fmt::format("task '{}' of run {} has no checkpoint @{}; it has {}",
                                            task.str(), run.str(), n, history.size()));
  return std::move(*wanted);
}

}  // namespace remora::run

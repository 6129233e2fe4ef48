#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <remora/git/packs.hpp>
#include <remora/run/run_record.hpp>

namespace remora::run {
namespace {

namespace json = boost::json;

std::int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::vector<git::tree_entry> values(const std::map<std::string, git::tree_entry>& entries) {
  std::vector<git::tree_entry> list;
  for (const auto& [name, entry] : entries) list.push_back(entry);
  return list;
}

result<json::object> parse_object(std::string_view text, std::string_view what) {
  boost::system::error_code ec;
  json::value v = json::parse(text, ec);
  if (ec || !v.is_object())
    return fail(errc::corrupt, fmt::format("{} is not a JSON object", what));
  return std::move(v.get_object());
}

}  // namespace

run_record_writer::run_record_writer(git::repository& repo, git::object_writer& objects, run_id run,
                                     const run_lock* lock)
    : repo_(repo), objects_(objects), run_(std::move(run)), lock_(lock) {}

result<void> run_record_writer::start(const json::object& run_json, const plan& p,
                                      std::vector<git::oid> parents) {
  REMORA_TRY(const unique_fd held, git::hold_objects(repo_));
  content next{.run = run_json, .top = {}, .tasks = {}};
  std::vector<git::tree_entry> prompts;
  for (const task_plan& t : p.tasks) {
    REMORA_TRY(const git::oid id, objects_.blob(t.prompt));
    prompts.push_back({t.id.str() + ".md", id, git::mode::file});
  }
  REMORA_TRY(const git::oid tree, objects_.tree(std::move(prompts)));
  next.top["prompts"] = {"prompts", tree, git::mode::directory};
  return commit(std::move(next),
                fmt::format("remora: run {} started ({} tasks)", run_.str(), p.tasks.size()),
                std::move(parents));
}

result<void> run_record_writer::open() {
  REMORA_TRY(const recorded_run there, read_run(repo_, run_));
  content found{.run = there.run, .top = {}, .tasks = {}};
  found.run.erase("ended");
  REMORA_TRY(const git::commit_info commit, repo_.read_commit(there.tip));
  REMORA_TRY(auto entries, repo_.read_tree(commit.tree));
  for (git::tree_entry& e : entries) found.top[e.name] = e;
  if (found.top.contains("tasks")) {
    REMORA_TRY(auto tasks, repo_.read_tree(found.top["tasks"].id));
    for (git::tree_entry& e : tasks) found.tasks[e.name] = e;
  }
  tip_ = there.tip;
  said_ = std::move(found);
  return {};
}

result<void> run_record_writer::task_ended(const task_id& task, const json::object& payload,
                                           const std::optional<git::oid>& record,
                                           const std::optional<git::oid>& result) {
  REMORA_TRY(const unique_fd held, git::hold_objects(repo_));
  std::vector<git::tree_entry> entries;
  REMORA_TRY(const git::oid text, objects_.blob(json::serialize(payload) + "\n"));
  entries.push_back({"task.json", text, git::mode::file});
  if (record) {
    REMORA_TRY(const checkpoint::record r, checkpoint::read_record(repo_, *record));
    REMORA_TRY(auto mind, repo_.read_tree(r.mind));
    for (git::tree_entry& e : mind)
      if (e.name == "state.json" || e.name == "prompt.md" || e.name == "transcript" ||
          e.name == "result")
        entries.push_back(std::move(e));
  }
  REMORA_TRY(const git::oid tree, objects_.tree(std::move(entries)));
  content next = said_;
  next.tasks[task.str()] = {task.str(), tree, git::mode::directory};
  REMORA_TRY(const git::oid tasks, objects_.tree(values(next.tasks)));
  next.top["tasks"] = {"tasks", tasks, git::mode::directory};
  std::vector<git::oid> parents;
  if (result) parents.push_back(*result);
  const json::value* outcome = payload.if_contains("outcome");
  return commit(
      std::move(next),
      fmt::format("remora: {} {}", task.str(),
                  outcome && outcome->is_string() ? std::string(outcome->get_string()) : "ended"),
      std::move(parents));
}

result<void> run_record_writer::finish(const json::object& ended, std::string_view journal) {
  REMORA_TRY(const unique_fd held, git::hold_objects(repo_));
  content next = said_;
  next.run["ended"] = ended;
  REMORA_TRY(const git::oid log, objects_.blob(journal));
  next.top["journal.jsonl"] = {"journal.jsonl", log, git::mode::file};
  return commit(std::move(next), fmt::format("remora: run {} ended", run_.str()), {});
}

result<void> run_record_writer::commit(content next, const std::string& subject,
                                       std::vector<git::oid> parents) {
  REMORA_TRY(const git::oid run, objects_.blob(json::serialize(next.run) + "\n"));
  next.top["run.json"] = {"run.json", run, git::mode::file};
  REMORA_TRY(const git::oid tree, objects_.tree(values(next.top)));
  if (!tip_.is_zero()) parents.insert(parents.begin(), tip_);
  std::vector<git::oid> unique;
  for (const git::oid& p : parents)
    if (std::ranges::find(unique, p) == unique.end()) unique.push_back(p);
  const std::string message =
      fmt::format("{}\n\nRemora-Run: {}\nRemora-Format: 1\n", subject, run_.str());
  REMORA_TRY(const git::oid id,
             objects_.commit(tree, unique, git::remora_signature(now_seconds()), message));
  REMORA_CHECK(objects_.barrier());
  if (lock_) REMORA_CHECK(lock_->check());
  const std::string ref = checkpoint::run_ref(run_);
  auto swapped = repo_.swap_ref(ref, tip_, id);
  if (!swapped) {
    // It may have moved although its sync failed: a run that does not begin leaves none, and the
    // next commit goes on from it.
    const auto there = repo_.read_ref(ref);
    if (!there || *there != id) return swapped;
    if (tip_.is_zero()) {
      (void)repo_.delete_ref(ref, id);
      return swapped;
    }
  }
  tip_ = id;
  said_ = std::move(next);
  return swapped;
}

result<recorded_run> read_run(const git::repository& repo, const run_id& run) {
  REMORA_TRY(const auto tip, repo.read_ref(checkpoint::run_ref(run)));
  if (!tip)
    return fail(errc::no_match, fmt::format("no run {} is recorded in this repository", run.str()));
  recorded_run r{.id = run.str(), .tip = *tip, .run = {}, .tasks = {}};
  REMORA_TRY(const git::commit_info commit, repo.read_commit(*tip));
  REMORA_TRY(const auto text, repo.read_path(commit.tree, "run.json"));
  if (!text)
    return fail(errc::corrupt, fmt::format("{} holds no run.json", checkpoint::run_ref(run)));
  REMORA_TRY(r.run, parse_object(*text, "run.json of " + run.str()));
  const json::value* schema = r.run.if_contains("schema");
  if (!schema || !schema->is_string() || schema->get_string() != run_schema)
    return fail(errc::unsupported,
                fmt::format("run {} was recorded by another version of remora: this one reads {}",
                            run.str(), run_schema));
  REMORA_TRY(const auto tasks, repo.find(commit.tree, "tasks"));
  if (!tasks) return r;
  REMORA_TRY(const auto entries, repo.read_tree(tasks->id));
  for (const git::tree_entry& e : entries) {
    REMORA_TRY(const auto task, repo.read_path(e.id, "task.json"));
    if (!task)
      return fail(errc::corrupt,
                  fmt::format("tasks/{}/task.json is not in run {}", e.name, run.str()));
    REMORA_TRY(r.tasks[e.name], parse_object(*task, "task.json of " + e.name));
  }
  return r;
}

result<std::vector<run_id>> recorded_runs(const git::repository& repo) {
  constexpr std::string_view prefix = "refs/remora/runs/";
  REMORA_TRY(const auto refs, repo.list_refs(std::string(prefix)));
  std::vector<run_id> runs;
  for (const git::ref_info& ref : refs)
    if (auto id = run_id::parse(std::string_view(ref.name).substr(prefix.size())))
      runs.push_back(std::move(*id));
  std::ranges::sort(runs, std::greater<>());
  return runs;
}

result<std::optional<std::string>> read_task_file(const git::repository& repo,
                                                  const recorded_run& run, std::string_view task,
                                                  std::string_view name) {
  REMORA_TRY(const git::commit_info commit, repo.read_commit(run.tip));
  return repo.read_path(commit.tree, fmt::format("tasks/{}/{}", task, name));
}

}  // namespace remora::run

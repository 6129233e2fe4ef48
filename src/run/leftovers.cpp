#include <remora/run/leftovers.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/plant.hpp>
#include <remora/git/packs.hpp>
#include <remora/process/cgroups.hpp>
#include <remora/run/retire.hpp>
#include <set>

namespace remora::run {
namespace fs = std::filesystem;
namespace {

/// The `.lock` files below the directories of our refs and of their logs, relative to the common
/// directory.
std::vector<fs::path> ref_locks(const fs::path& common_dir) {
  std::vector<fs::path> locks;
  for (const char* above : {"", "logs"}) {
    for (const char* top : {"refs/remora", "refs/heads/remora", "refs/heads/remora-wip"}) {
      std::error_code ec;
      fs::recursive_directory_iterator at(common_dir / above / top, ec);
      for (; !ec && at != fs::recursive_directory_iterator(); at.increment(ec))
        if (at->path().extension() == ".lock")
          locks.push_back(at->path().lexically_relative(common_dir));
    }
  }
  std::ranges::sort(locks);
  return locks;
}

result<bool> unlink_lock(const fs::path& lock) {
  if (planted("lock-reaping")) return false;
  if (::unlink(lock.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  return os_error(errno, "cannot remove the stale " + lock.string());
}

/// Also where they cannot be looked for.
bool may_have_agents(const run_id& run) {
  const auto shims = process::find_shims(run.str() + ".");
  return !shims || !shims->empty();
}

/// Of a run that nobody works on; `lock` is relative.
result<bool> remove_ref_lock(const git::repository& repo, const run_id& run, const fs::path& lock) {
  const fs::path path = repo.common_dir() / lock;
  const run_layout layout(repo.common_dir(), run);
  std::error_code ec;
  // Whoever changes a ref without its run's lock (drop, prune, a rerun that succeeded, the user's
  // git) holds the ref's for milliseconds.
  if (!fs::exists(layout.root, ec)) return git::remove_left_lock(path);
  const auto ours = run_lock::take(layout);
  if (!ours || ours->is_younger(path) || may_have_agents(run)) return false;
  return unlink_lock(path);
}

void find_ref_locks(const git::repository& repo, std::vector<leftover>& found) {
  for (const fs::path& lock : ref_locks(repo.common_dir())) {
    const auto run = run_named_in(lock);
    if (!run || is_live(run_layout(repo.common_dir(), *run))) continue;
    found.push_back({.kind = "ref-lock",
                     .subject = lock.string(),
                     .text = fmt::format("the lock {} is of a process that is gone: no ref under "
                                         "it can change",
                                         lock.string()),
                     .remove = [run = *run, lock](git::repository& r) {
                       return remove_ref_lock(r, run, lock);
                     }});
  }
}

result<bool> remove_run_directory(const git::repository& repo, const run_id& run) {
  const run_layout layout(repo.common_dir(), run);
  std::error_code ec;
  if (!fs::exists(layout.root, ec)) return false;
  const auto lock = run_lock::take(layout);
  const run_trace trace = trace_of(repo, run);
  if (!lock || (trace != run_trace::unknown && trace != run_trace::over)) return false;
  fs::remove_all(layout.root, ec);
  if (!ec) return true;
  return fail(errc::environment,
              fmt::format("{} cannot be removed: {}", layout.root.string(), ec.message()));
}

void find_run_directories(const git::repository& repo, std::vector<leftover>& found) {
  for (const run_id& run : local_runs(repo)) {
    const run_trace trace = trace_of(repo, run);
    if (trace != run_trace::unknown && trace != run_trace::over) continue;
    const run_layout layout(repo.common_dir(), run);
    if (is_live(layout)) continue;
    found.push_back(
        {.kind = "run-directory",
         .subject = run.str(),
         .text = fmt::format("the directory of run {} is left of a run that {}", run.str(),
                             trace == run_trace::over ? "has ended" : "never began"),
         .remove = [run](git::repository& r) { return remove_run_directory(r, run); }});
  }
}

bool is_gone(const git::repository& repo, const git::made_worktree& tree) {
  if (tree.there || tree.unclear || !fs::is_directory(tree.root.parent_path())) return false;
  const auto run = run_named_in(tree.branch);
  if (!run) return true;
  const run_trace trace = trace_of(repo, *run);
  return trace == run_trace::unknown || trace == run_trace::over;
}

/// The slot's number may be lent again meanwhile: nobody reserves one while we hold all of them.
result<bool> remove_entry(git::repository& repo, const fs::path& root) {
  const auto slots = open_file(root.parent_path(), O_RDONLY | O_DIRECTORY);
  if (!slots || ::flock(slots->get(), LOCK_EX | LOCK_NB) != 0) return false;
  std::error_code ec;
  if (fs::symlink_status(root, ec).type() != fs::file_type::not_found) return false;
  REMORA_CHECK(git::remove_worktree(repo, root));
  return true;
}

void find_entries(const git::repository& repo, const std::vector<git::made_worktree>& trees,
                  std::vector<leftover>& found) {
  for (const git::made_worktree& tree : trees) {
    if (!is_gone(repo, tree)) continue;
    found.push_back(
        {.kind = "worktree-entry",
         .subject = tree.root.string(),
         .text = fmt::format("git's entry of the worktree {} is left of one that is "
                             "not there any more, and whose run is over",
                             tree.root.string()),
         .remove = [root = tree.root](git::repository& r) { return remove_entry(r, root); }});
  }
}

void find_half_made(const std::vector<git::made_worktree>& trees, std::vector<leftover>& found) {
  for (const git::made_worktree& tree : trees) {
    if (!tree.half) continue;
    found.push_back(
        {.kind = "worktree",
         .subject = tree.root.string(),
         .text = fmt::format("the worktree {} is half made, and nobody has it", tree.root.string()),
         .remove = [root = tree.root](git::repository& r) {
           return git::remove_half_made(r, root);
         }});
  }
}

void find_emptied_entries(const git::repository& repo, std::vector<leftover>& found) {
  for (const git::emptied_entry& entry : git::emptied_entries(repo)) {
    const auto run = run_named_in(entry.branch);
    const run_trace trace = run ? trace_of(repo, *run) : run_trace::unknown;
    // A branch without a run's id is somebody's own; a run that goes on frees its branches itself.
    if ((!entry.branch.empty() && !run) || trace == run_trace::open || trace == run_trace::lost)
      continue;
    const fs::path name = entry.git_dir.lexically_relative(repo.common_dir());
    found.push_back({.kind = "worktree-entry",
                     .subject = name.string(),
                     .text = fmt::format("git's entry {} no longer says where its worktree is, as "
                                         "after a power cut, and is locked: git never removes it",
                                         name.string()),
                     .remove = [git_dir = entry.git_dir](git::repository& r) {
                       return git::remove_emptied_entry(r, git_dir);
                     }});
  }
}

void find_dead_objects(const git::repository& repo, std::vector<leftover>& found) {
  const std::vector<std::string> files = git::find_object_files(repo);
  if (files.empty()) return;
  found.push_back({.kind = "object-files",
                   .subject = "objects",
                   .text = fmt::format("{} files are of writers that are gone, and in no pack that "
                                       "git reads: {}",
                                       files.size(), fmt::join(files, ", ")),
                   .remove = [](git::repository& r) -> result<bool> {
                     return !git::sweep_object_files(r).empty();
                   }});
}

/// Of agents of our runs that nobody works on: their shim was killed, else it had removed them.
/// Those of other repositories may be many.
void find_groups(const git::repository& repo, std::vector<leftover>& found) {
  const std::vector<fs::path> groups = process::find_agent_groups("");
  if (groups.empty()) return;
  std::set<run_id> runs;
  for (const run_id& run : local_runs(repo)) runs.insert(run);
  if (const auto recorded = repo.list_refs("refs/remora/runs/"))
    for (const git::ref_info& ref : *recorded)
      if (const auto run = run_named_in(ref.name)) runs.insert(*run);
  std::erase_if(runs,
                [&](const run_id& run) { return is_live(run_layout(repo.common_dir(), run)); });
  for (const fs::path& group : groups) {
    const std::string name = group.filename().string().substr(std::string_view("remora-").size());
    const auto run = run_id::parse(name.substr(0, name.find('.')));
    if (!run || !runs.contains(*run)) continue;
    found.push_back({.kind = "control-group",
                     .subject = group.string(),
                     .text = fmt::format("the control group {} is left of an agent whose shim was "
                                         "killed",
                                         group.string()),
                     .remove = [group](git::repository&) -> result<bool> {
                       return process::remove_agent_group(group);
                     }});
  }
}

result<bool> remove_branch(git::repository& repo, const run_id& run, const std::string& branch) {
  if (trace_of(repo, run) != run_trace::unknown) return false;
  REMORA_TRY(const auto tip, repo.read_ref(branch));
  if (!tip) return false;
  REMORA_TRY(const bool merged, is_merged(repo, *tip));
  if (merged) REMORA_CHECK(repo.delete_ref(branch, *tip));
  return merged;
}

/// A branch with a name of ours may be the user's, made of somebody's result: so never certain.
void find_branches(const git::repository& repo, const std::vector<git::made_worktree>& trees,
                   std::vector<leftover>& found) {
  const auto refs = repo.list_refs("refs/heads/remora/");
  if (!refs) return;
  for (const git::ref_info& ref : *refs) {
    const auto run = run_named_in(ref.name);
    const bool used = repo.head_ref() == ref.name || std::ranges::any_of(trees, [&](const auto& t) {
                        return t.unclear || (t.there && t.branch == ref.name);
                      });
    if (!run || used || trace_of(repo, *run) != run_trace::unknown) continue;
    const auto merged = is_merged(repo, ref.target);
    if (!merged || !*merged) continue;
    found.push_back(
        {.kind = "branch",
         .subject = ref.name,
         .text = fmt::format("{} is of a run that is not here any more, and is merged", ref.name),
         .remove = [run = *run, name = ref.name](git::repository& r) {
           return remove_branch(r, run, name);
         }});
  }
}

}  // namespace

std::optional<run_id> run_named_in(const fs::path& ref) {
  for (const fs::path& part : ref)
    if (auto id = run_id::parse((part.extension() == ".lock" ? part.stem() : part).string()))
      return std::move(*id);
  return std::nullopt;
}

run_trace trace_of(const git::repository& repo, const run_id& run) {
  const auto recorded = read_run(repo, run);
  if (recorded && recorded->ended()) return run_trace::over;  // also where its journal is left
  const auto head = read_journal_head(run_layout(repo.common_dir(), run).journal());
  if (head ? head->has_value() : !head.error().is(errc::no_match)) return run_trace::open;
  if (recorded) return run_trace::lost;
  return recorded.error().is(errc::no_match) ? run_trace::unknown : run_trace::open;
}

std::vector<leftover> find_leftovers(const git::repository& repo, thoroughness how) {
  std::vector<leftover> found;
  const std::vector<git::made_worktree> trees = git::made_worktrees(repo);
  find_run_directories(repo, found);
  find_ref_locks(repo, found);
  find_entries(repo, trees, found);
  find_half_made(trees, found);
  find_emptied_entries(repo, found);
  find_dead_objects(repo, found);
  find_groups(repo, found);
  if (how == thoroughness::all) find_branches(repo, trees, found);
  return found;
}

std::vector<std::string> sweep_leftovers(git::repository& repo) {
  std::vector<std::string> swept;
  sweep_unnamed(repo.common_dir() / "remora" / "runs");
  for (const leftover& l : find_leftovers(repo, thoroughness::certain)) {
    const auto removed = l.remove(repo);
    if (removed && *removed) swept.push_back(l.text);
  }
  release_packs(repo);
  return swept;
}

result<std::vector<std::string>> remove_ref_locks(const fs::path& common_dir, const run_id& run,
                                                  const run_lock& ours) {
  std::vector<std::string> removed;
  std::optional<bool> agents;
  for (const fs::path& lock : ref_locks(common_dir)) {
    if (run_named_in(lock) != run || ours.is_younger(common_dir / lock)) continue;
    // The task's own branch is the agent's as well, which may be ending still.
    if (lock.string().find("refs/heads/remora/") != std::string::npos) {
      if (!agents) agents = may_have_agents(run);
      if (*agents) continue;
    }
    REMORA_TRY(const bool gone, unlink_lock(common_dir / lock));
    if (gone) removed.push_back(lock.string());
  }
  return removed;
}

result<held_run> held_run::take(const git::repository& repo, const run_id& run) {
  run_layout layout(repo.common_dir(), run);
  REMORA_TRY(run_lock lock, run_lock::take(layout));
  held_run held(std::move(layout), std::move(lock));
  REMORA_CHECK(remove_ref_locks(repo.common_dir(), run, held.lock()));
  return held;
}

held_run::~held_run() {
  if (!lock_) return;
  std::error_code ec;
  fs::directory_iterator at(layout_.root, ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec))
    if (at->path() != layout_.lock()) return;
  if (!ec) fs::remove_all(layout_.root, ec);
}

}  // namespace remora::run

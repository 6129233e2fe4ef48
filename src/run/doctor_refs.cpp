// Refs of ours that hold nothing, checkpoints whose objects are damaged, what is kept of others.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <remora/core/text.hpp>
#include <remora/run/leftovers.hpp>

#include "run/doctor_parts.hpp"

namespace remora::run {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view wip_refs = "refs/remora/wip/", run_refs = "refs/remora/runs/",
                           wip_branches = "refs/heads/remora-wip/",
                           task_branches = "refs/heads/remora/", kept_refs = "refs/remora/foreign/";

/// What a loose ref may be: an id, or the name of another ref. What cannot be read may be sound.
bool is_sound(const fs::path& file) {
  const auto text = read_file(file, 4096);
  if (!text) return !text.error().is(errc::too_large);
  return git::oid::parse(trim(*text)).has_value() || text->starts_with("ref: ");
}

std::vector<std::string> broken_refs(const fs::path& common_dir) {
  std::vector<std::string> broken;
  for (const char* top : {"refs/remora", "refs/heads/remora", "refs/heads/remora-wip"}) {
    std::error_code ec;
    fs::recursive_directory_iterator at(common_dir / top, ec);
    for (; !ec && at != fs::recursive_directory_iterator(); at.increment(ec)) {
      const bool plain = at->is_regular_file(ec) && at->path().extension() != ".lock";
      if (plain && !is_sound(at->path()))
        broken.push_back(at->path().lexically_relative(common_dir).string());
    }
  }
  // Records before the branches that are made of them.
  std::ranges::sort(broken, std::ranges::greater());
  return broken;
}

std::optional<task_id> task_named_in(const std::string& ref) {
  auto id = task_id::parse(ref.substr(ref.rfind('/') + 1));
  if (!id) return std::nullopt;
  return std::move(*id);
}

/// What the journal knows of the ref's task; nothing where it is not here.
std::optional<task_fold> task_of(const git::repository& repo, const std::string& ref) {
  const auto run = run_named_in(ref);
  const auto task = task_named_in(ref);
  if (!run || !task) return std::nullopt;
  const auto fold = fold_of(repo, *run);
  if (!fold || !fold->tasks.contains(task->str())) return std::nullopt;
  return fold->tasks.at(task->str());
}

/// The record of the newest checkpoint. One that was only prepared has all its objects: they were
/// durable before the journal's word for it.
std::optional<git::oid> newest_record(const task_fold& task) {
  if (task.prepared) return task.prepared->record;
  return task.saved ? std::optional(task.saved->record) : std::nullopt;
}

/// What the ref ought to hold, where something else still says it: a derived branch follows its
/// record, which is `mend_branch`'s to do.
std::optional<git::oid> wanted_value(const git::repository& repo, const std::string& ref) {
  const auto task = task_of(repo, ref);
  if (!task) return std::nullopt;
  const auto newest = newest_record(*task);
  if (ref.starts_with(wip_refs)) return newest;
  if (!ref.starts_with(task_branches)) return std::nullopt;
  if (!task->published.is_zero()) return task->published;
  if (!newest) return task->base;
  const auto record = checkpoint::read_record(repo, *newest);
  return record ? std::optional(record->head.commit) : std::nullopt;
}

/// True where nothing that a person would miss is lost with the ref's bytes.
bool can_mend(const git::repository& repo, const std::string& ref) {
  if (ref.starts_with(wip_branches) || ref.starts_with(kept_refs)) return true;
  const auto run = run_named_in(ref);
  if (ref.starts_with(run_refs)) return run && fold_of(repo, *run).has_value();
  return wanted_value(repo, ref).has_value();
}

result<std::string> mend_ref(git::repository& repo, const std::string& ref) {
  const fs::path file = repo.common_dir() / ref;
  const auto run = run_named_in(ref);
  if (!run || is_sound(file)) return std::string();
  REMORA_TRY(const auto lock, own_run(repo, *run));
  const auto value = wanted_value(repo, ref);
  if (::unlink(file.c_str()) != 0) return os_error(errno, "cannot remove " + file.string());
  REMORA_CHECK(sync_directory(file.parent_path()));
  REMORA_TRY(const auto packed, repo.read_ref(ref));  // an older value may come to light
  if (value && packed != value)
    REMORA_CHECK(repo.swap_ref(ref, packed.value_or(git::oid()), *value));
  const auto task = task_named_in(ref);
  if (task && ref.starts_with(wip_branches)) {
    git::object_writer objects(repo);
    REMORA_CHECK(checkpoint::store(repo, objects, true).mend_branch(*run, *task));
  }
  return fmt::format("put {} right", ref);
}

std::string remedy_of(const std::string& ref) {
  if (ref.starts_with(wip_branches)) return "the branch is made anew from the checkpoint's record";
  if (ref.starts_with(kept_refs)) return "it is removed: nothing is in it";
  if (ref.starts_with(run_refs)) return "it is removed; 'remora resume' writes the record anew";
  return "it gets the value that the run's journal knows";
}

void examine_newest(git::repository& repo, const checkpoint::store& store, const run_id& run,
                    const task_id& task, findings& found) {
  const std::string subject = run.str() + "/" + task.str();
  const auto newest = store.newest(run, task);
  if (newest && !*newest) return;
  std::vector<git::oid> known;
  if (const auto fold = task_of(repo, checkpoint::wip_ref(run, task)); fold && fold->saved) {
    known.push_back(fold->saved->record);
    known.push_back(fold->saved->old);
  }
  const auto whole = store.newest_readable(run, task, known);
  if (newest && whole && whole->commit == (*newest)->commit) return;
  const std::string what =
      newest ? fmt::format("checkpoint {} cannot be read", (*newest)->number.value())
             : newest.error().what;
  found.push_back(
      {.kind = "checkpoint-damaged",
       .subject = subject,
       .text =
           whole ? fmt::format("{}: objects of it are missing or damaged. Checkpoint {} is whole, "
                               "and is what 'remora resume' goes on from",
                               what, whole->number.value())
                 : fmt::format("{}, and no older one is whole", what),
       .remedy = "fetch the objects from another clone, if there is one; else the work since then "
                 "is lost: 'git fsck' names what is missing"});
}

/// The ref of a task that goes on must be what its journal says (G17).
void examine_ref_of(const git::repository& repo, const run_id& run, const task_fold& task,
                    findings& found) {
  const auto id = task_id::parse(task.id);
  if (!id || task.is_done() || !task.saved || task.prepared || !task.published.is_zero()) return;
  const auto holds = repo.read_ref(checkpoint::wip_ref(run, *id));
  if (!holds || *holds == task.saved->record) return;
  finding f{
      .kind = "checkpoint-ref",
      .subject = checkpoint::wip_ref(run, *id),
      .text = fmt::format("somebody {} it: checkpoint {} of task '{}' is not what it names",
                          *holds ? "changed" : "deleted", task.saved->number.value(), task.id),
      .remedy =
          "it names the checkpoint again; what it holds now is kept under "
          "refs/remora/foreign/"};
  f.fix = [run, task = *id, mark = *task.saved](git::repository& r) -> result<std::string> {
    REMORA_TRY(const auto lock, own_run(r, run));
    git::object_writer objects(r);
    checkpoint::store own(r, objects, true);
    REMORA_TRY(const bool whole, own.recover(run, task, mark.record, mark.old));
    if (whole) return fmt::format("put {} back", checkpoint::wip_ref(run, task));
    return fail(errc::corrupt, fmt::format("checkpoint {} is damaged", mark.number.value()));
  };
  found.push_back(std::move(f));
}

void examine_branch(git::repository& repo, const checkpoint::store& store, const run_id& run,
                    const task_id& task, findings& found) {
  const std::string branch = checkpoint::wip_branch(run, task);
  const auto shown = repo.read_ref(branch);
  const auto newest = store.newest(run, task);
  if (!shown || !*shown || !newest || !*newest || **shown == (*newest)->files) return;
  finding f{.kind = "checkpoint-branch",
            .subject = branch,
            .text = fmt::format("the branch does not show checkpoint {}, the newest one",
                                (*newest)->number.value()),
            .remedy = "it is made anew from the checkpoint's record"};
  f.fix = [run, task](git::repository& r) -> result<std::string> {
    REMORA_TRY(const auto lock, own_run(r, run));
    git::object_writer objects(r);
    REMORA_CHECK(checkpoint::store(r, objects, true).mend_branch(run, task));
    return fmt::format("{} follows its checkpoint", checkpoint::wip_branch(run, task));
  };
  found.push_back(std::move(f));
}

void examine_kept(const git::repository& repo, findings& found) {
  const auto refs = repo.list_refs(std::string(kept_refs));
  if (!refs) return;
  for (const git::ref_info& ref : *refs)
    found.push_back({.kind = "foreign",
                     .subject = ref.name,
                     .text = fmt::format("it keeps {}, which somebody else had put where a ref of "
                                         "remora's is, or which nothing else held any more",
                                         ref.target.hex().substr(0, 12)),
                     .remedy = "",
                     .note = true});
}

}  // namespace

void examine_broken_refs(git::repository& repo, findings& found) {
  for (const std::string& ref : broken_refs(repo.common_dir())) {
    const auto run = run_named_in(ref);
    if (run && is_live(run_layout(repo.common_dir(), *run))) continue;
    finding f{.kind = "ref-broken",
              .subject = to_utf8(ref),
              .text =
                  "it holds no object id, as after a power cut or a full disk: git ignores it, "
                  "and what it named cannot be found by it",
              .remedy =
                  "nothing here knows its value: fetch it from another clone, or 'git fsck "
                  "--lost-found' lists the commits that it may have named; then delete the file"};
    if (can_mend(repo, ref)) {
      f.remedy = remedy_of(ref);
      f.fix = [ref](git::repository& r) { return mend_ref(r, ref); };
    }
    found.push_back(std::move(f));
  }
}

void examine_checkpoints(git::repository& repo, findings& found) {
  auto own = repo.reopen();
  if (!own) return;
  git::object_writer objects(*own);
  const checkpoint::store store(*own, objects, true);
  if (const auto all = store.all())
    for (const auto& [run, task] : *all) {
      if (is_live(run_layout(repo.common_dir(), run))) continue;
      examine_newest(*own, store, run, task, found);
      examine_branch(*own, store, run, task, found);
    }
  for (const run_id& run : local_runs(repo)) {
    if (is_live(run_layout(repo.common_dir(), run))) continue;
    if (const auto fold = fold_of(repo, run))
      for (const auto& [name, task] : fold->tasks) examine_ref_of(*own, run, task, found);
  }
  examine_kept(*own, found);
}

}  // namespace remora::run

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/git/restore.hpp>
#include <remora/run/continuation.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

std::string when(std::int64_t seconds) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}Z",
                     std::chrono::sys_seconds(std::chrono::seconds(seconds)));
}

json::object record_json(const checkpoint::record& r) {
  return {
      {"schema", "remora.checkpoint/1"}, {"run", r.run.str()},           {"task", r.task.str()},
      {"checkpoint", r.number.value()},  {"attempt", r.attempt.value()}, {"reason", r.reason},
      {"commit", r.files.hex()},         {"record", r.commit.hex()},     {"base", r.base.hex()},
      {"head", r.head.commit.hex()},     {"head_ref", r.head.ref},       {"seconds", r.seconds}};
}

struct checkpoint_in_repository {
  explicit checkpoint_in_repository(task_in_repository w)
      : where(std::move(w)),
        objects(where.repo),
        store(where.repo, objects, true),
        record{.run = where.what.run, .task = where.task} {}

  task_in_repository where;
  git::object_writer objects;
  checkpoint::store store;
  checkpoint::record record;
};

result<std::unique_ptr<checkpoint_in_repository>> open(const session& s,
                                                       const std::string& selector) {
  REMORA_TRY(task_in_repository where, open_task(s, selector));
  auto c = std::make_unique<checkpoint_in_repository>(std::move(where));
  REMORA_TRY(c->record, open_checkpoint(c->where, c->store));
  return c;
}

}  // namespace

result<int> checkpoint_list_command(session& s, const std::string& selector) {
  REMORA_TRY(task_in_repository t, open_task(s, selector));
  REMORA_CHECK(no_checkpoint(t.what, selector));
  git::object_writer objects(t.repo);
  const checkpoint::store store(t.repo, objects, true);
  REMORA_TRY(const auto history, store.history(t.what.run, t.task));
  for (const checkpoint::record& r : history) {
    if (s.json)
      s.out << record_json(r) << '\n';
    else
      s.out << fmt::format("{:>4}  {}  attempt {}  {}  {}\n", r.number.value(), when(r.seconds),
                           r.attempt.value(), r.files.hex().substr(0, 10), r.reason);
  }
  const bool thinned = !history.empty() && !history.back().previous;
  if (const std::uint32_t oldest = thinned ? history.back().number.value() : 1;
      oldest > 1 && !s.json)
    s.out << fmt::format("older than {}: given up (checkpoint.max_disk)\n", oldest);
  if (history.empty() && !s.json)
    s.err << "remora: no checkpoint: none was taken yet, or the task succeeded and its checkpoint "
             "was pruned\n";
  return 0;
}

result<int> checkpoint_show_command(session& s, const std::string& selector) {
  REMORA_TRY(const auto c, open(s, selector));
  const checkpoint::record& r = c->record;
  REMORA_TRY(const git::snapshot files, c->store.read_snapshot(r));
  REMORA_TRY(const git::commit_info base, c->where.repo.read_commit(r.base));
  REMORA_TRY(const git::diff_summary changes,
             git::diff_trees(c->where.repo, base.tree, r.files_tree));
  if (s.json) {
    json::object o = record_json(r);
    o["manifest"] = git::to_json(files.manifest);
    o["files"] = json::object{
        {"added", changes.added}, {"modified", changes.modified}, {"deleted", changes.deleted}};
    REMORA_TRY(const std::string state, c->store.read_state(r));
    boost::system::error_code ec;
    o["state"] = json::parse(state, ec);
    s.out << o << '\n';
    return 0;
  }
  s.out << fmt::format("checkpoint {} of {}/{}: {}\n", r.number.value(), r.run.str(), r.task.str(),
                       r.reason);
  s.out << fmt::format(
      "  taken    {} in attempt {}\n  files    {} (git show {})\n  record   {}\n  base     {}\n  "
      "HEAD     {} {}\n",
      when(r.seconds), r.attempt.value(), r.files.hex(), r.files.hex().substr(0, 10),
      r.commit.hex(), r.base.hex(), r.head.commit.hex(),
      r.head.ref.empty() ? "(detached)" : r.head.ref);
  s.out << fmt::format("  changed  {} files, +{} -{}\n", changes.files.size(), changes.insertions,
                       changes.deletions);
  for (const git::changed_file& f : changes.files)
    s.out << fmt::format("    {} {}  +{} -{}\n", f.status, printable(f.path), f.insertions,
                         f.deletions);
  for (const git::omission& o : files.manifest.left_out)
    s.out << fmt::format("  left out {} ({})\n", printable(o.path), o.reason);
  return 0;
}

result<int> checkpoint_diff_command(session& s, const std::string& selector) {
  REMORA_TRY(const auto c, open(s, selector));
  REMORA_TRY(const git::commit_info base, c->where.repo.read_commit(c->record.base));
  REMORA_TRY(const git::diff_text patch,
             git::diff_patch(c->where.repo, base.tree, c->record.files_tree, std::size_t{1} << 30));
  s.out << patch.text;
  return 0;
}

result<int> checkpoint_prompt_command(session& s, const std::string& selector) {
  REMORA_TRY(const auto c, open(s, selector));
  const checkpoint::record& r = c->record;
  REMORA_TRY(const run::run_view view, run::load_run(c->where.repo, r.run));
  REMORA_TRY(const run::plan plan, run::recorded_plan(view.fold.started));
  const run::task_plan* task = plan.find(r.task);
  if (!task)
    return fail(errc::corrupt, fmt::format("the recorded plan has no task '{}'", r.task.str()));
  REMORA_TRY(const std::string text, c->store.read_state(r));
  REMORA_TRY(const agent::state mind, agent::state::from_json(text));
  REMORA_TRY(const git::commit_info base, c->where.repo.read_commit(r.base));
  run::task_changes changes;
  REMORA_TRY(changes.summary, git::diff_trees(c->where.repo, base.tree, r.files_tree));
  REMORA_TRY(changes.patch,
             git::diff_patch(c->where.repo, base.tree, r.files_tree, run::patch_in_prompt));
  agent::outcome interrupted;
  interrupted.verdict = agent::verdict::interrupted;
  const run::continuation_request request{.run = r.run,
                                          .what = plan,
                                          .task = *task,
                                          .mind = mind,
                                          .attempt = r.attempt.value() + 1,
                                          .last = interrupted,
                                          .base = r.base,
                                          .files = r.files,
                                          .head_note = {},
                                          .fence = "shownbutnotused0"};
  s.out << run::continuation(request, &changes);
  return 0;
}

namespace {

result<int> make_branch(session& s, git::repository& repo, const restore_options& o,
                        const git::oid& files) {
  const std::string name = "refs/heads/" + o.branch;
  const auto there = repo.read_ref(name);
  if (!there)  // git refuses the name
    return fail(errc::usage, there.error().what + "; name another branch");
  if (*there)
    return fail(errc::usage,
                fmt::format("the branch '{}' is there already; name another", o.branch));
  if (!o.dry_run) REMORA_CHECK(repo.swap_ref(name, git::oid(), files));
  s.out << fmt::format("{} branch {} at {}\n", o.dry_run ? "would make" : "made", o.branch,
                       files.hex());
  return 0;
}

}  // namespace

result<int> checkpoint_restore_command(session& s, const restore_options& o) {
  if (o.to.empty() == o.branch.empty())
    return fail(errc::usage, "say where: --to DIR or --branch NAME");
  REMORA_TRY(const auto c, open(s, o.selector));
  REMORA_TRY(const unique_fd held, git::hold_objects(c->where.repo));
  REMORA_TRY(c->record, open_checkpoint(c->where, c->store));  // it may have been given up before
  const checkpoint::record& r = c->record;
  REMORA_TRY(const git::snapshot files, c->store.read_snapshot(r));
  if (!o.branch.empty()) return make_branch(s, c->where.repo, o, r.files);
  const std::filesystem::path to = std::filesystem::absolute(o.to);
  if (o.dry_run) {
    REMORA_TRY(const git::diff_summary all,
               git::diff_trees(c->where.repo, git::oid(), files.tree, false));
    s.out << fmt::format("would write {} files into {}\n", all.files.size(), to.string());
    return 0;
  }
  REMORA_TRY(const git::restore_report report, git::export_files(c->where.repo, files, to, {}));
  s.out << fmt::format("{} files restored into {}\n", report.files_written, to.string());
  for (const git::omission& m : report.not_restored)
    s.err << fmt::format("remora: not restored: {} ({})\n", printable(m.path), m.reason);
  for (const git::omission& m : files.manifest.left_out)
    s.err << fmt::format("remora: not in the checkpoint: {} ({})\n", printable(m.path), m.reason);
  return 0;
}

}  // namespace remora::front

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <istream>
#include <iterator>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/front/commands.hpp>
#include <remora/front/printer.hpp>
#include <remora/io/signals.hpp>
#include <remora/run/leftovers.hpp>
#include <remora/run/rebuild.hpp>
#include <remora/run/view.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

std::unique_ptr<printer> make_printer(session& s) {
  if (s.json) return make_json_printer(s.out);
  if (s.terminal) return make_live_printer(s.out, s.color);
  return make_plain_printer(s.out, s.err);
}

/// The loop, and what a run needs around it. `start` gives the engine's work.
template <class Start>
result<int> drive(session& s, git::repository& repo, Start start) {
  process::prepare_this_process();
  REMORA_TRY(const fs::path shim, process::find_shim());
  asio::io_context loop(1);
  const std::unique_ptr<process::host> host = process::make_host(loop.get_executor(), shim);
  const std::unique_ptr<printer> screen = make_printer(s);
  run::engine engine(loop.get_executor(), repo, *host,
                     [&](const run::record& r) { screen->show(r); });

  std::optional<result<run::run_summary>> outcome;
  std::exception_ptr failed;
  std::optional<io::signals> signals(std::in_place, loop.get_executor(),
                                     [&](int, int) { engine.interrupt(); });
  const auto work = [](run::engine& e, process::host& h, Start begin,
                       std::optional<result<run::run_summary>>& to) -> asio::awaitable<void> {
    to.emplace(co_await begin(e));
    co_await h.join();
  };
  asio::co_spawn(loop, work(engine, *host, std::move(start), outcome), [&](std::exception_ptr e) {
    failed = e;
    signals.reset();
  });
  loop.run();
  if (failed) std::rethrow_exception(failed);
  if (!*outcome) return outcome->error();
  screen->close(**outcome);
  return (*outcome)->exit_status();
}

result<run::plan> load_plan(session& s, const run_options& o) {
  if (!o.agent.empty()) {
    if (!o.plan.empty()) return fail(errc::usage, "a plan and --agent do not go together");
    std::string prompt = o.prompt;
    if (prompt == "-") prompt.assign(std::istreambuf_iterator<char>(s.in), {});
    if (prompt.find_first_not_of(" \t\r\n") == prompt.npos)
      return fail(errc::usage, "--agent needs --prompt TEXT, or --prompt - and the text on stdin");
    REMORA_TRY(run::plan p, run::ad_hoc_plan(o.agent, std::move(prompt), s.directory));
    p.agents.begin()->second.args = o.args;
    p.agents.begin()->second.command = o.command;
    return p;
  }
  if (!o.prompt.empty()) return fail(errc::usage, "--prompt needs --agent NAME");
  const fs::path file = o.plan.empty() ? s.directory / "remora.yaml" : fs::path(o.plan);
  if (o.plan.empty() && !fs::exists(file))
    return fail(errc::usage, "there is no remora.yaml here; name a plan, or make one: remora init");
  return run::read_plan(file);
}

result<void> narrow(run::plan& p, const std::vector<std::string>& only, std::uint32_t parallel) {
  if (parallel > 0) p.parallel = parallel;
  for (const std::string& id : only)
    if (std::ranges::none_of(p.tasks, [&](const run::task_plan& t) { return t.id.str() == id; }))
      return fail(errc::no_match, fmt::format("the plan has no task '{}'", id));
  if (only.empty()) return {};
  std::erase_if(p.tasks, [&](const run::task_plan& t) {
    return std::ranges::find(only, t.id.str()) == only.end();
  });
  return run::check_dependencies(p);
}

/// Out of descriptors, agents could not be started (F5): then fewer at a time.
void afford(session& s, run::plan& p) {
  const std::uint32_t most = process::affordable_agents();
  if (std::min<std::size_t>(p.parallel, p.tasks.size()) <= most) return;
  s.err << fmt::format(
      "remora: notice: {} tasks at a time: the limit of open files allows no more "
      "(ulimit -H -n)\n",
      most);
  p.parallel = most;
}

/// Makes the task of `RUN/TASK@N` go on from that checkpoint instead of the newest.
result<void> start_at(git::repository& repo, const run::selection& from, run::new_run& what) {
  REMORA_TRY(git::repository own, repo.reopen());
  git::object_writer objects(own);
  const checkpoint::store store(own, objects, true);
  REMORA_TRY(const checkpoint::record chosen,
             run::find_checkpoint(store, from.run, *from.task, *from.checkpoint));
  what.records.insert_or_assign(from.task->str(), chosen.commit);
  for (run::task_plan& t : what.plan.tasks) {
    if (t.id != *from.task) continue;
    t.base = chosen.base.hex();
    t.base_task.reset();
  }
  return {};
}

}  // namespace

result<int> run_command(session& s, const run_options& o) {
  REMORA_TRY(run::plan p, load_plan(s, o));
  REMORA_CHECK(narrow(p, o.tasks, o.parallel));
  REMORA_CHECK(run::apply_settings(p, o.settings));
  const fs::path where =
      o.agent.empty() && o.plan.size() + p.repo.string().size() > 0 ? p.repo : s.directory;
  REMORA_TRY(git::repository repo, git::repository::discover(where));
  p.repo = repo.work_dir().value_or(repo.common_dir());
  REMORA_TRY(const run::run_preview view, run::preview(repo, p));
  if (o.dry_run) {
    print_preview(s, p, view);
    return 0;
  }
  afford(s, p);
  if (!view.dirty.empty())
    s.err << "remora: notice: the checkout has uncommitted changes; the tasks start from the "
             "commit and do not see them\n";
  if (!s.json)
    for (const auto& [name, a] : p.agents)
      if (view.programs.contains(name) && a.permissions == agent::permissions::full)
        s.err << fmt::format("remora: notice: agent {} runs with full permissions\n", name);
  REMORA_TRY(run_id id, run::next_id(repo, machine_clock().wall()));
  run::new_run what{.id = std::move(id), .plan = std::move(p), .continues = {}, .records = {}};
  return drive(s, repo, [&what](run::engine& e) { return e.run(what); });
}

result<int> resume_command(session& s, const resume_options& o) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run_id id, run::find_run(repo, o.run));
  const run::run_trace trace = run::trace_of(repo, id);
  run::sweep_leftovers(repo);
  if (trace == run::run_trace::lost) {
    REMORA_TRY(const auto remarks, run::rebuild_journal(repo, id));
    for (const std::string& text : remarks)
      s.err << fmt::format("remora: notice: {}\n", printable(text));
  }
  if (trace == run::run_trace::over) {
    REMORA_TRY(const run::run_view view, run::load_run(repo, id));
    if (view.state() == "succeeded") {
      s.err << fmt::format(
          "remora: run {} has ended and every task has succeeded; there is nothing to "
          "resume\n",
          id.str());
      return 0;
    }
  }
  return drive(s, repo, [&](run::engine& e) { return e.resume(id, o.settings); });
}

result<int> rerun_command(session& s, const rerun_options& o) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(const run::selection from, run::select(repo, o.selector));
  if (run::is_live(run::run_layout(repo.common_dir(), from.run)))
    return fail(errc::held, fmt::format("run {} is being worked on; end it first", from.run.str()));
  if (from.checkpoint && o.clean)
    return fail(errc::usage, "--clean starts from the base: leave out the checkpoint, or --clean");
  std::vector<std::string> only = o.tasks;
  if (from.task) only.push_back(from.task->str());
  REMORA_TRY(const run::recorded_run old, run::read_run(repo, from.run));
  REMORA_TRY(const run_id id, run::next_id(repo, machine_clock().wall()));
  auto what = run::plan_rerun(repo, old, only, id, o.clean);
  if (!what && what.error().is(errc::no_match) && only.empty()) {
    s.err << "remora: " << what.error().what << '\n';
    return 0;
  }
  if (!what) return what.error();
  REMORA_CHECK(run::apply_settings(what->plan, o.settings));
  if (from.checkpoint) REMORA_CHECK(start_at(repo, from, *what));
  if (o.parallel > 0) what->plan.parallel = o.parallel;
  afford(s, what->plan);
  what->plan.repo = repo.work_dir().value_or(repo.common_dir());
  return drive(s, repo, [&what](run::engine& e) { return e.run(*what); });
}

}  // namespace remora::front

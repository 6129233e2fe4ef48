#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <remora/core/text.hpp>
#include <remora/front/cli.hpp>
#include <remora/git/repository.hpp>

namespace remora::front {
namespace {

using action = std::function<result<int>(session&)>;

/// Everything that options write into; lives as long as the parse.
struct arguments {
  std::string directory = ".";
  bool json = false;
  run_options run;
  resume_options resume;
  rerun_options rerun;
  list_options list;
  log_options log;
  restore_options restore;
  prune_options prune;
  parse_options parse;
  std::string selector;
  std::string results_run = "last";
  std::vector<std::string> selectors;
  bool force = false;
  bool fix = false;
  bool why = false;
  std::string note;
  std::vector<std::string> words;
  bool rerun_all = false;  ///< what `rerun` does anyway
  action chosen;
};

CLI::App* command(CLI::App& app, arguments& a, const char* name, const char* what, action act) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->callback([&a, act] {
    if (!a.chosen) a.chosen = act;  // a subcommand's callback comes before its parent's
  });
  return sub;
}

void run_option(CLI::App* sub, std::string& run) {
  sub->add_option("RUN", run, "an id, a unique beginning or ending, or 'last'")
      ->capture_default_str();
}

CLI::Option* json_flag(CLI::App* sub, arguments& a) {
  return sub->add_flag("--json", a.json, "one JSON object a line");
}

void set_option(CLI::App* sub, std::vector<std::string>& settings) {
  sub->add_option("--set", settings,
                  "in place of what the plan says: limits.tokens=4M, budget.cost_usd=10, "
                  "attempts=30, checkpoint.interval=1m … (may be repeated)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_run_commands(CLI::App& app, arguments& a) {
  CLI::App* run =
      command(app, a, "run", "work through a plan (remora.yaml, unless another is named)",
              [&](session& s) { return run_command(s, a.run); });
  run->add_option("PLAN", a.run.plan, "the plan; without it, remora.yaml");
  run->add_option("--agent", a.run.agent,
                  "without a plan: one task for this adapter (see: remora agents)")
      ->type_name("NAME");
  run->add_option("--prompt", a.run.prompt, "without a plan: what it is to do; - reads stdin");
  run->add_option("--command", a.run.command,
                  "without a plan: the agent's program and first arguments")
      ->type_name("PROGRAM")
      ->expected(1, -1);
  run->add_option("--arg", a.run.args,
                  "without a plan: a further argument of the agent (may be repeated)")
      ->type_name("ARG")
      ->allow_extra_args(false);
  run->add_option("--parallel", a.run.parallel,
                  "so many tasks at a time; without it, what the plan says, or 4")
      ->check(CLI::Range(1, 10'000));
  run->add_option("--task", a.run.tasks, "only this task (may be repeated); without it, all")
      ->type_name("ID")
      ->allow_extra_args(false);
  set_option(run, a.run.settings);
  run->add_flag("--dry-run", a.run.dry_run, "check everything, start nothing");
  json_flag(run, a);

  CLI::App* resume = command(app, a, "resume", "the same run goes on from its last checkpoints",
                             [&](session& s) { return resume_command(s, a.resume); });
  run_option(resume, a.resume.run);
  set_option(resume, a.resume.settings);
  json_flag(resume, a);

  CLI::App* rerun = command(
      app, a, "rerun", "a new run of all that did not succeed, each task from its last checkpoint",
      [&](session& s) { return rerun_command(s, a.rerun); });
  rerun
      ->add_option("RUN[/TASK[@N]]", a.rerun.selector,
                   "a run, or one task of it, from its newest checkpoint or from checkpoint N")
      ->required();
  CLI::Option* all =
      rerun->add_flag("--all", a.rerun_all, "all that did not succeed (as without any --task)");
  rerun->add_option("--task", a.rerun.tasks, "only this task (may be repeated)")
      ->type_name("ID")
      ->allow_extra_args(false)
      ->excludes(all);
  rerun
      ->add_option("--parallel", a.rerun.parallel,
                   "so many tasks at a time; without it, what the plan said")
      ->check(CLI::Range(1, 10'000));
  set_option(rerun, a.rerun.settings);
  rerun->add_flag("--clean", a.rerun.clean, "from the base, not from the checkpoints");
  json_flag(rerun, a);
}

void add_reading_commands(CLI::App& app, arguments& a) {
  CLI::App* list = command(app, a, "list", "the runs, newest first",
                           [&](session& s) { return list_command(s, a.list); });
  list->add_option("--limit", a.list.limit, "so many at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  list->add_option("--after", a.list.after, "those older than this run")->type_name("RUN");
  json_flag(list, a);

  CLI::App* show = command(app, a, "show", "what became of a run or a task", [&](session& s) {
    return a.why ? why_command(s, a.selector) : show_command(s, a.selector);
  });
  show->add_option("RUN[/TASK]", a.selector, "a run, or one task of it")->required();
  show->add_flag("--why", a.why, "each decision, and what led to it");
  json_flag(show, a);

  CLI::App* log = command(app, a, "log", "what a task's agent said and did",
                          [&](session& s) { return log_command(s, a.log); });
  log->add_option("RUN/TASK", a.log.selector, "a task of a run")->required();
  log->add_option("--attempt", a.log.attempt, "this attempt; without it, all")
      ->check(CLI::PositiveNumber);
  log->add_flag("--follow", a.log.follow, "go on as the agent goes on, until the task has ended");
  CLI::Option* raw = log->add_flag("--raw", a.log.raw, "the bytes as they were printed");
  json_flag(log, a)->excludes(raw);

  CLI::App* results = command(app, a, "results", "a row a task: branch, commits, files",
                              [&](session& s) { return results_command(s, a.results_run); });
  run_option(results, a.results_run);
  json_flag(results, a);

  CLI::App* diff = command(app, a, "diff", "what a task changed",
                           [&](session& s) { return diff_command(s, a.selector); });
  diff->add_option("RUN/TASK", a.selector, "a task of a run")->required();

  CLI::App* drop = command(app, a, "drop", "delete a task's result and checkpoint, or a whole run",
                           [&](session& s) { return drop_command(s, a.selectors, a.force); });
  drop->add_option("RUN[/TASK]", a.selectors, "runs, or tasks of them")->required();
  drop->add_flag("--force", a.force, "also what is not merged anywhere");

  CLI::App* prune = command(app, a, "prune", "remove old runs; without --yes it lists them",
                            [&](session& s) { return prune_command(s, a.prune); });
  prune->add_option("RUN", a.prune.run, "only this one, however old");
  prune->add_option("--older-than", a.prune.older_than, "runs that started so long ago")
      ->type_name("AGE")
      ->capture_default_str();
  prune->add_flag("--yes", a.prune.yes, "do it");
  json_flag(prune, a);

  CLI::App* doctor = command(app, a, "doctor", "what is wrong with the repository and its runs",
                             [&](session& s) { return doctor_command(s, a.fix); });
  doctor->add_flag("--fix", a.fix, "mend what can be mended");
  json_flag(doctor, a);
}

void add_checkpoint_commands(CLI::App& app, arguments& a) {
  CLI::App* group = app.add_subcommand("checkpoint", "look at checkpoints, or take one out");
  group->require_subcommand(1);
  using reader = result<int> (*)(session&, const std::string&);
  const auto reading = [&](const char* name, const char* what, const char* operand, reader read) {
    CLI::App* sub =
        command(*group, a, name, what, [&a, read](session& s) { return read(s, a.selector); });
    sub->add_option(operand, a.selector, "a task of a run; @3 is a checkpoint, @-1 the newest")
        ->required();
    return sub;
  };
  json_flag(reading("list", "the checkpoints of a task, newest first", "RUN/TASK",
                    checkpoint_list_command),
            a);
  json_flag(reading("show", "one checkpoint: why, when, what is in it", "RUN/TASK[@N]",
                    checkpoint_show_command),
            a);
  reading("diff", "what it holds against the task's base", "RUN/TASK[@N]", checkpoint_diff_command);
  reading("prompt", "the continuation that a successor would get", "RUN/TASK[@N]",
          checkpoint_prompt_command);
  CLI::App* restore = command(*group, a, "restore", "its files, into a directory or onto a branch",
                              [&](session& s) { return checkpoint_restore_command(s, a.restore); });
  restore
      ->add_option("RUN/TASK[@N]", a.restore.selector,
                   "a task of a run; @3 is a checkpoint, @-1 the newest")
      ->required();
  CLI::Option* to =
      restore->add_option("--to", a.restore.to, "a directory that is empty or not there")
          ->type_name("DIR");
  restore->add_option("--branch", a.restore.branch, "a branch that is not there")
      ->type_name("NAME")
      ->excludes(to);
  restore->add_flag("--dry-run", a.restore.dry_run, "say what would be done");
}

void add_agent_commands(CLI::App& app, arguments& a) {
  CLI::App* agents =
      command(app, a, "agents", "the agents that remora knows, and what it finds of them",
              [](session& s) { return agents_command(s); });
  json_flag(agents, a);
  CLI::App* parse = command(*agents, a, "parse",
                            "an agent's raw output as neutral events, and what remora concludes",
                            [&](session& s) { return agents_parse_command(s, a.parse); });
  parse->add_option("ADAPTER", a.parse.adapter, "see: remora agents")->required();
  parse->add_option("FILE", a.parse.file, "what it printed; without it, stdin");
  parse->add_option("--stderr", a.parse.stderr_file, "what it printed on stderr")
      ->type_name("FILE");
  CLI::Option* code =
      parse->add_option("--exit-code", a.parse.exit_code, "how it ended: 0 unless told");
  parse->add_option("--signal", a.parse.signal, "how it ended: SIGKILL, KILL or 9")
      ->type_name("NAME")
      ->excludes(code);
  command(app, a, "init", "write a first remora.yaml", [](session& s) { return init_command(s); });
}

void add_here_commands(CLI::App& app, arguments& a) {
  CLI::App* group = app.add_subcommand("here", "inside an agent: ask the run that started it");
  group->require_subcommand(1);
  CLI::App* checkpoint = command(*group, a, "checkpoint", "take a checkpoint now, and wait for it",
                                 [&](session& s) { return here_checkpoint_command(s, a.note); });
  checkpoint->add_option("-m,--message", a.note, "first add this to the notes")->type_name("TEXT");
  json_flag(checkpoint, a);
  CLI::App* note = command(*group, a, "note", "add to the notes that a successor gets",
                           [&](session& s) { return here_note_command(s, a.words); });
  note->add_option("TEXT", a.words, "what to note; - reads stdin")->required();
  json_flag(note, a);
  CLI::App* plan = command(*group, a, "plan", "say what is to be done, and what is done",
                           [&](session& s) { return here_plan_command(s, a.selector); });
  plan->add_option(
          "FILE", a.selector,
          "lines like '- [x] text', or JSON: [{\"text\": …, \"status\": …}]; - reads stdin")
      ->required();
  json_flag(plan, a);
  json_flag(command(*group, a, "left", "what is left of the attempt's time and budgets",
                    [](session& s) { return here_left_command(s); }),
            a);
}

/// One that can move its cursor.
bool is_terminal(const std::ostream& out) {
  const char* name = std::getenv("TERM");
  const bool dumb = name && std::string_view(name) == "dumb";
  return &out == &std::cout && !dumb && ::isatty(STDOUT_FILENO) == 1;
}

/// https://no-color.org: set and not empty.
bool wants_color() {
  const char* no = std::getenv("NO_COLOR");
  return !no || *no == '\0';
}

/// What is thrown is a bug or a full memory; a run's own state is safe on disk either way.
result<int> call(const action& chosen, session& s) {
  try {
    return chosen(s);
  } catch (const std::exception& e) {
    return fail(
        errc::environment,
        fmt::format("internal error: {}; what was saved is safe, please report this", e.what()));
  }
}

}  // namespace

int cli(int argc, const char* const* argv, std::istream& in, std::ostream& out, std::ostream& err) {
  arguments a;
  CLI::App app("remora rides along with coding agents and never loses what they did", "remora");
  app.set_version_flag("--version", "remora " REMORA_VERSION);
  app.add_option("-C,--repo", a.directory, "work in this repository")->type_name("DIR");
  app.require_subcommand(1);
  app.fallthrough();
  add_run_commands(app, a);
  add_reading_commands(app, a);
  add_checkpoint_commands(app, a);
  add_agent_commands(app, a);
  add_here_commands(app, a);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e, out, err);  // --help, --version
    err << "remora: error: " << e.what() << "; remora --help says what there is\n";
    return 2;
  }
  git::initialise();
  const bool terminal = is_terminal(out);
  session s{.directory = a.directory,
            .out = out,
            .err = err,
            .in = in,
            .json = a.json,
            .terminal = terminal,
            .color = terminal && wants_color()};
  const result<int> status = call(a.chosen, s);
  out.flush();
  if (status) return *status;
  err << "remora: error: " << printable(status.error().what) << '\n';
  return exit_status(status.error());
}

}  // namespace remora::front

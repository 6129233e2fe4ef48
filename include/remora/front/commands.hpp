// The commands of the program, one function each: they parse nothing (cli.cpp does) and decide
// nothing (the rooms below do); they ask and render. Each returns the exit status of docs/cli.md,
// or an error that `cli` prints and maps to one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <remora/core/result.hpp>
#include <string>
#include <vector>

namespace remora::front {

/// Where a command works and where it writes. Tests give string streams.
struct session {
  std::filesystem::path directory;  ///< -C/--repo: anything inside the repository
  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  bool json = false;
  bool terminal = false;  ///< `out` is one: a live table, colours
  bool color = false;
};

struct run_options {
  std::string plan;                   ///< path; empty: remora.yaml
  std::string agent;                  ///< without a plan: an adapter's name
  std::string prompt;                 ///< `-`: from stdin
  std::vector<std::string> args;      ///< of the ad hoc agent
  std::vector<std::string> command;   ///< of the ad hoc agent
  std::uint32_t parallel = 0;         ///< 0: the plan's
  std::vector<std::string> tasks;     ///< only these
  std::vector<std::string> settings;  ///< `KEY=VALUE`, in place of the plan's
  bool dry_run = false;
};
result<int> run_command(session& s, const run_options& o);

struct resume_options {
  std::string run = "last";
  std::vector<std::string> settings;
};
result<int> resume_command(session& s, const resume_options& o);

struct rerun_options {
  std::string selector;  ///< RUN, RUN/TASK or RUN/TASK@N
  std::vector<std::string> tasks;
  bool clean = false;  ///< from the base instead of the checkpoints
  std::uint32_t parallel = 0;
  std::vector<std::string> settings;
};
result<int> rerun_command(session& s, const rerun_options& o);

struct list_options {
  std::size_t limit = 50;
  std::string after;
};
result<int> list_command(session& s, const list_options& o);
result<int> show_command(session& s, const std::string& selector);
/// Every decision about its tasks, with what it rests on.
result<int> why_command(session& s, const std::string& selector);

struct log_options {
  std::string selector;
  std::uint32_t attempt = 0;
  bool follow = false;
  bool raw = false;
};
result<int> log_command(session& s, const log_options& o);
result<int> results_command(session& s, const std::string& run);
result<int> diff_command(session& s, const std::string& selector);
result<int> drop_command(session& s, const std::vector<std::string>& selectors, bool force);

result<int> checkpoint_list_command(session& s, const std::string& selector);
result<int> checkpoint_show_command(session& s, const std::string& selector);
result<int> checkpoint_diff_command(session& s, const std::string& selector);
result<int> checkpoint_prompt_command(session& s, const std::string& selector);
struct restore_options {
  std::string selector;
  std::string to;
  std::string branch;
  bool dry_run = false;
};
result<int> checkpoint_restore_command(session& s, const restore_options& o);

struct prune_options {
  std::string run;
  std::string older_than = "14d";
  bool yes = false;
};
result<int> prune_command(session& s, const prune_options& o);

/// `fix`: mends what can be mended, then tells what is left.
result<int> doctor_command(session& s, bool fix);

result<int> agents_command(session& s);
struct parse_options {
  std::string adapter;
  std::string file;
  std::string stderr_file;
  int exit_code = 0;
  std::string signal;
};
result<int> agents_parse_command(session& s, const parse_options& o);
result<int> init_command(session& s);

// Of an agent, by the socket that its environment names. Errors: errc::usage; errc::environment
// (there is none, nobody answers, or it is refused); errc::timed_out.
/// `note`: goes into its notes before; may be empty.
result<int> here_checkpoint_command(session& s, const std::string& note);
/// The one word `-`: from stdin.
result<int> here_note_command(session& s, const std::vector<std::string>& words);
/// `-`: stdin.
result<int> here_plan_command(session& s, const std::string& file);
result<int> here_left_command(session& s);

}  // namespace remora::front

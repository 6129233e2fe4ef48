// All that outlives an orchestrator: the disk, the processes, time; and what is wanted of a seed.
// One thread each.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <remora/core/exit_status.hpp>
#include <remora/git/oid.hpp>
#include <remora/run/engine.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/random.hpp"
#include "sim/timeline.hpp"

namespace remora::sim {

/// What an agent has done to a worktree: one bit a piece of work.
using units = std::uint64_t;

struct saved_state {
  std::size_t task = 0;
  std::uint32_t number = 0, attempt = 0;
  units work = 0;
  git::oid base, files;
  git::oid previous;  ///< zero: it began a chain
  std::string state;
  std::uint64_t out = 0, err = 0;
  bool durable = false;
  std::uint64_t named = 0;  ///< how many were, when a ref was moved to it; 0: never
  bool rerun = false;       ///< of the rerun, not of the run before
};

struct ref {
  git::oid visible, durable;
};

struct worktree {
  std::size_t task = 0;
  units work = 0;
  bool used = false;      ///< an agent was in it
  bool detached = false;  ///< it gave up its branch: nobody goes on in it
  bool half = false;      ///< set aside by its task: nobody's, until another one has got it
};

struct attempt_dir {
  std::string state, prompt, out, err;
};

struct recorded_task {
  bool durable = false;
  git::oid result;  ///< zero: it did not succeed
};

struct run_record {
  bool started = false, started_durable = false;
  std::map<std::string, recorded_task> tasks;  ///< that have ended
  bool ended = false, ended_durable = false;
};

/// What is on the disk; what is only visible does not survive a power cut.
struct disk {
  std::unordered_map<git::oid, saved_state> checkpoints;
  std::unordered_map<git::oid, units> results;
  std::vector<ref> wip, result;  ///< by task
  std::vector<ref> old_wip;      ///< in a rerun: those of the run before
  std::map<std::string, worktree> slots;
  std::map<std::string, attempt_dir> attempts;
  run_record record;
  bool journal_there = false;
  std::string journal;
  std::size_t synced = 0;  ///< bytes of the journal
  const life* owner = nullptr;
  std::string removed_journal;  ///< of a run that has ended: a power cut may bring it back
  std::uint64_t names = 0;
  std::uint64_t namings = 0;
};

enum class fate { complete, fail, die, hang, meet_limit, meet_login };
enum class program { agent, setup, verify };

class virtual_child;

struct virtual_process {
  std::string name;  ///< of its attempt's directory
  program what = program::agent;
  std::size_t task = 0;
  std::string agent;
  std::string slot;
  const life* owner = nullptr;     ///< null: an orphan
  virtual_child* child = nullptr;  ///< whom it reports to
  bool alive = true;               ///< somebody of its tree
  bool stray = false;              ///< could not be ended in time; its worktree is not used again
  bool exited = false, frozen = false, held_up = false, ignores_signals = false, lingers = false;
  sim::fate fate = fate::complete;
  std::uint64_t steps = 0;
};

/// How often what goes wrong, and how the plan looks: all from the seed.
struct odds {
  std::uint64_t fault = 0, slow = 0, agent = 0, spawn = 0, meddle = 0, bug = 0;
};

class checker;

/// What an agent meets in place of its work.
struct trouble {
  std::string kind;  ///< of an error event
  std::string retry_at;
};

class world {
 public:
  world(std::uint64_t seed, std::uint64_t most_tasks);
  /// In which nothing goes wrong by itself.
  world(std::uint64_t seed, run::plan plan);
  ~world();

  /// For the trace; costs nothing unless it is wanted.
  template <class... A>
  void note(fmt::format_string<A...> text, const A&... a) {
    if (tracing) write_note(fmt::vformat(text, fmt::make_format_args(a...)));
  }
  /// An invariant is broken: the seed is over.
  void broken(std::string what);

  std::uint64_t seed;
  dice random;
  timeline time;
  sim::disk disk;
  run::plan plan;     ///< of the first run; tasks have its indices in a rerun too
  run::new_run what;  ///< the run that goes on
  bool is_rerun = false;
  std::vector<units> goals;  ///< by task
  std::vector<std::unique_ptr<virtual_process>> processes;
  std::unique_ptr<checker> check;
  sim::odds odds;
  std::string boot = "boot-1";
  run::shared_pauses::all pauses;
  bool calm = false;         ///< nothing goes wrong any more
  bool power_fails = false;  ///< within the write that is under way
  std::uint32_t faults_left = 0;
  milliseconds pace{2000};  ///< a piece of work takes so long, at most
  std::function<std::optional<trouble>(const virtual_process&)> meets;
  std::function<void(const run::record&)> observe;

  bool tracing = false;
  std::deque<std::string> trace;
  std::string violation;

  git::oid new_name();
  /// A ref comes to hold this checkpoint.
  void name(const git::oid& checkpoint) { disk.checkpoints.at(checkpoint).named = ++disk.namings; }
  std::size_t index_of(const std::string& task) const;
  /// How long something on the disk takes.
  duration disk_time();
  /// Something goes wrong, with odds 1 : `odds`.
  bool goes_wrong(std::uint64_t one_in);
  virtual_process* living(const std::string& name);

  // What befalls the machine. The orchestrators' own part is the caller's.
  void cut_power();
  /// Checkpoints that no ref and no newest one reaches go, but those in the making.
  void drop_unreachable();
  void orphan(const life* owner);
  void meddle_with_refs();

  /// What did not succeed, as a new run. False: there is nothing, or its checkpoints are not known.
  bool begin_rerun();

 private:
  void write_note(std::string text);
};

// The agents (agents.cpp).
void begin_process(world& w, virtual_process& p);
void ask_to_exit(world& w, virtual_process& p, int signal);
void kill_tree(world& w, virtual_process& p);
void freeze_tree(world& w, virtual_process& p);
void thaw_tree(world& w, virtual_process& p);
void end_tree(world& w, virtual_process& p, bool proven);

}  // namespace remora::sim

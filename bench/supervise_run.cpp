#include "supervise_run.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "measure.hpp"
#include "proc.hpp"

namespace remora::bench {
namespace {

namespace fs = std::filesystem;

constexpr int tasks = 8;
constexpr int lives = 20;
/// As long as it takes until each agent was looked for: a quarter of the usual `limits.idle`.
constexpr std::chrono::seconds rest{75};

/// `remora run --json`, whose events are read.
class whole_run {
 public:
  whole_run(const fs::path& remora, const fs::path& dir)
      : out_(::popen(fmt::format("echo $$; exec '{}' -C '{}' run '{}' --json 2>&1", remora.string(),
                                 (dir / "repo").string(), (dir / "plan.yaml").string())
                         .c_str(),
                     "re")) {
    if (!out_) throw std::runtime_error("cannot start a shell");
    std::string number;
    if (next(number)) pid_ = std::atoi(number.c_str());
  }
  whole_run(const whole_run&) = delete;
  whole_run& operator=(const whole_run&) = delete;
  ~whole_run() {
    if (!ended_ && pid_ > 0) ::kill(pid_, SIGINT);
    for (std::string line; next(line);) ::kill(pid_, SIGINT);  // again: it ends all at once
    ::pclose(out_);
  }

  int pid() const { return pid_; }

  /// False: it has ended.
  bool next(std::string& line) {
    char* text = nullptr;
    std::size_t size = 0;
    const ssize_t n = ::getline(&text, &size, out_);
    line.assign(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    ::free(text);
    ended_ = n <= 0;
    return !ended_;
  }

 private:
  std::FILE* out_;
  int pid_ = 0;
  bool ended_ = false;
};

bool has(const std::string& event, const char* key, const char* value) {
  return event.find(fmt::format("\"{}\":\"{}\"", key, value)) != std::string::npos;
}

std::string value_of(const std::string& event, const char* key) {
  const std::string before = fmt::format("\"{}\":\"", key);
  const std::size_t from = event.find(before);
  if (from == event.npos) return {};
  const std::size_t start = from + before.size();
  return event.substr(start, event.find('"', start) - start);
}

/// Of the day, from `2026-01-31T12:34:56.789Z`.
double milliseconds_in(const std::string& time) {
  int hours = 0, minutes = 0, thousandths = 0, seconds = 0;
  if (std::sscanf(time.c_str(), "%*d-%*d-%*dT%d:%d:%d.%dZ", &hours, &minutes, &seconds,
                  &thousandths) != 4)
    throw std::runtime_error("no time of an event: '" + time + "'");
  return ((hours * 60.0 + minutes) * 60 + seconds) * 1e3 + thousandths;
}

void write(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

/// A run's directory, with a repository of some files and the plan's head.
class stage {
 public:
  stage(const fs::path& where, int parallel, const std::string& agent, const std::string& task)
      : dir_(where), repo_(dir_.path() / "repo", 30) {
    ::setenv("XDG_STATE_HOME", (dir_.path() / "state").c_str(), 1);
    std::string plan = fmt::format(
        "version: 1\nrepo: {}\nparallel: {}\nagents: {{sh: {{adapter: text, command: [sh, -c, "
        "'{}']}}}}\ntasks:\n",
        repo_.root().string(), parallel, agent);
    for (int i = 0; i < parallel; ++i)
      plan += fmt::format("  - {{id: t{}, prompt: 'Do it.'{}}}\n", i, task);
    write(dir_.path() / "plan.yaml", plan);
  }
  const fs::path& path() const { return dir_.path(); }

 private:
  scratch dir_;
  sample_repository repo_;
};

}  // namespace

void measure_successors(const fs::path& remora, const fs::path& where) {
  print_header(
      fmt::format("Successors in place without a wait, their verification failed: {} tasks "
                  "one after the other, {} attempts of each, in ms",
                  tasks, lives),
      {"from", "to the successor's exec, p50", "p99", "most", "budget"});
  std::vector<double> from_verdict, from_exit;
  for (int i = 0; i < tasks; ++i) {
    // It gets somewhere each time, or another agent would follow.
    const stage on(where, 1, "date +%N >> done",
                   fmt::format(", verify: 'false', attempts: {}", lives));
    whole_run run(remora, on.path());
    double exited = 0, verdict = 0;
    for (std::string event; run.next(event);) {
      if (!has(event, "type", "decided")) continue;
      const double now = milliseconds_in(value_of(event, "t"));
      if (has(event, "fact", "exited")) exited = now;
      if (has(event, "fact", "verified")) verdict = now;
      if (!has(event, "fact", "started") || verdict == 0) continue;
      from_verdict.push_back(now - verdict);
      from_exit.push_back(now - exited);
    }
  }
  const auto row = [](const char* name, const std::vector<double>& ms, const char* budget) {
    print_row({name, cell(percentile(ms, 0.5)), cell(percentile(ms, 0.99)), cell(percentile(ms, 1)),
               budget});
  };
  row("the verdict", from_verdict, "50");
  row("the agent's exit: its checkpoint and `false` as well", from_exit, "");
}

void measure_run_at_rest(const fs::path& remora, int agents, const fs::path& where) {
  print_header(fmt::format("A run of {} agents that do nothing for {} s; repository of 30 files",
                           agents, rest.count()),
               {"what", "measured", "budget"});
  const auto memory_with = [&](int count, double* percent) {
    const stage on(where, count, "exec sleep 987654", "");
    whole_run run(remora, on.path());
    std::string event;
    for (int left = count; left > 0;) {
      if (!run.next(event))
        throw std::runtime_error("the run ended before all of it ran: " + event);
      if (has(event, "type", "task_phase") && has(event, "phase", "running")) --left;
    }
    if (percent) {
      const double before = cpu_seconds(run.pid());
      ::poll(nullptr, 0, static_cast<int>(std::chrono::milliseconds(rest).count()));
      *percent = (cpu_seconds(run.pid()) - before) * 100 / static_cast<double>(rest.count());
    }
    return memory_of(run.pid()).share;
  };
  double percent = 0;
  // With ten all threads are there, and what each of them has read.
  const int few = std::min(10, std::max(1, agents / 2));
  const double of_few = memory_with(few, nullptr);
  const double of_all = memory_with(agents, &percent);
  print_row({fmt::format("orchestrator KiB, {} agents, PSS", few), cell(of_few), ""});
  print_row({"orchestrator KiB an agent more, PSS, its state included",
             cell((of_all - of_few) / std::max(1, agents - few)), "64 and the state"});
  print_row({"orchestrator % of a core", cell(percent, 2), "5"});
}

}  // namespace remora::bench

// How soon a run goes on after a SIGKILL: from the start of `remora resume` to the first agent that
// runs again, and to all of those that ran. The shims of the first life are gone by then. A run of
// many tasks, some of which are at work and have a checkpoint when remora is killed.
//
//   recovery REMORA [TASKS [LIVE [ROUNDS [DIRECTORY]]]]     1000 200 5 /tmp
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <remora/process/survivors.hpp>
#include <stdexcept>

#include "measure.hpp"

namespace remora::bench {
namespace {
namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr const char* running = "\"phase\":\"running\"";
constexpr const char* saved = "\"type\":\"checkpoint_saved\"";

void write(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

std::string text_between(const std::string& in, const std::string& before,
                         const std::string& after) {
  const std::size_t from = in.find(before);
  if (from == in.npos) return {};
  const std::size_t start = from + before.size();
  return in.substr(start, in.find(after, start) - start);
}

/// A remora at work, whose events are read.
class orchestrator {
 public:
  explicit orchestrator(const std::string& command)
      : began_(steady_clock::now()),
        out_(::popen(("echo $$; exec " + command + " --json 2>/dev/null").c_str(), "re")) {
    if (out_ == nullptr) throw std::runtime_error("cannot start " + command);
    pid_ = std::stoi(line());
  }
  orchestrator(const orchestrator&) = delete;
  orchestrator& operator=(const orchestrator&) = delete;
  ~orchestrator() {
    kill();
    ::pclose(out_);
  }

  /// Reads until so many events hold `text`. Milliseconds since the start.
  double wait_for(const char* text, std::size_t count) {
    while (count > 0) {
      const std::string event = line();
      if (event.find(text) != std::string::npos) --count;
      run_ = text_between(event, "\"run\":\"", "\"");
    }
    return std::chrono::duration<double, std::milli>(steady_clock::now() - began_).count();
  }
  void kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    pid_ = 0;
  }
  /// Of the events that were read.
  const std::string& run() const { return run_; }

 private:
  std::string line() {
    char* text = nullptr;
    std::size_t size = 0;
    const ssize_t n = ::getline(&text, &size, out_);
    std::string read(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    ::free(text);
    if (n <= 0) throw std::runtime_error("remora ended before its time");
    return read;
  }

  steady_clock::time_point began_;
  std::FILE* out_;
  pid_t pid_ = 0;
  std::string run_;
};

void wait_for_the_shims(const std::string& run) {
  while (!process::find_shims(run + ".").value().empty()) ::poll(nullptr, 0, 20);
}

std::string plan_of(const fs::path& dir, std::size_t tasks, std::size_t live) {
  std::string plan = fmt::format(
      "version: 1\nrepo: {0}/repo\nparallel: {1}\n"
      "agents: {{sh: {{adapter: text, command: [sh, {0}/agent.sh]}}}}\n"
      "defaults: {{checkpoint: {{interval: 1s, min_gap: 100ms}}}}\ntasks:\n",
      dir.string(), live);
  for (std::size_t i = 0; i < tasks; ++i)
    plan += fmt::format("  - {{id: task-{}, prompt: 'Work on part {} for as long as it takes.'}}\n",
                        i, i);
  return plan;
}

void run(const fs::path& remora, std::size_t tasks, std::size_t live, int rounds,
         const fs::path& where) {
  const scratch dir(where);
  ::setenv("XDG_STATE_HOME", (dir.path() / "state").c_str(), 1);
  const sample_repository repo(dir.path() / "repo", 1000);
  write(dir.path() / "agent.sh", "cat > /dev/null\necho life >> lives\nexec sleep 100000\n");
  write(dir.path() / "plan.yaml", plan_of(dir.path(), tasks, live));
  const std::string program = fs::absolute(remora).string() + " -C " + repo.root().string();
  std::string id;
  {
    orchestrator first(program + " run " + (dir.path() / "plan.yaml").string());
    first.wait_for(saved, live);
    id = first.run();
  }
  std::vector<double> first_ms, all_ms;
  for (int i = 0; i < rounds; ++i) {
    wait_for_the_shims(id);
    orchestrator next(program + " resume");
    first_ms.push_back(next.wait_for(running, 1));
    all_ms.push_back(next.wait_for(running, live - 1));
  }
  wait_for_the_shims(id);
  print_header(
      fmt::format("resume of {} tasks, {} of them at work when remora was killed", tasks, live),
      {"until", "median ms", "least ms"});
  const auto row = [](const char* what, const std::vector<double>& ms) {
    print_row({what, cell(median(ms)), cell(*std::min_element(ms.begin(), ms.end()))});
  };
  row("the first runs again", first_ms);
  row("all of them run", all_ms);
}

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) {
  const remora::bench::arguments number(argc, argv);
  if (argc < 2) {
    std::cerr << "recovery REMORA [TASKS [LIVE [ROUNDS [DIRECTORY]]]]\n";
    return 2;
  }
  try {
    remora::bench::isolate_git();
    remora::bench::run(argv[1], static_cast<std::size_t>(number(2, 1000)),
                       static_cast<std::size_t>(number(3, 200)), number(4, 5),
                       argc > 5 ? argv[5] : "/tmp");
  } catch (const std::exception& e) {
    std::cerr << "recovery: " << e.what() << '\n';
    return 1;
  }
  return 0;
}

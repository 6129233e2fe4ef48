// What supervision costs: how long a start holds the loop, how soon a tree is frozen and ended, and
// what agents at rest take. The budget of each is beside it. The agents are sleeps and shells; the
// last two tables are of whole runs, by the `remora` beside the shim.
//
//   supervise SHIM [CYCLES [AGENTS [DIRECTORY]]]     1000 1000 /tmp
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <remora/process/host.hpp>
#include <stdexcept>
#include <thread>

#include "measure.hpp"
#include "proc.hpp"
#include "supervise_run.hpp"

namespace remora::bench {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using steady = std::chrono::steady_clock;

constexpr int starts = 200;
constexpr int commands = 200;
constexpr int floods = 8;
constexpr std::size_t ballast_bytes = 1u << 30;
constexpr std::chrono::seconds rest{5};

constexpr const char* sleeper = "exec sleep 987654";
/// Seven processes: six of them have forked twice and have sessions of their own. Each says a line
/// when it is there.
constexpr int scattered = 6;
constexpr const char* scatter =
    "for i in 1 2 3; do "
    "(setsid sh -c 'echo; (setsid sh -c \"echo; exec sleep 987654\" &); exec sleep 987654' &); "
    "done; exec sleep 987654";

double microseconds(steady::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

/// The time that a piece of work takes on the loop: from where it is called to where it returns,
/// without what the loop waits for.
class meter {
 public:
  void begin() {
    running_ = true;
    step_begins();
  }
  void end() {
    step_ends();
    running_ = false;
  }
  void step_begins() { began_ = steady::now(); }
  void step_ends() {
    if (running_) steps_.push_back(microseconds(steady::now() - began_));
  }
  double sum() const { return std::accumulate(steps_.begin(), steps_.end(), 0.0); }
  double longest() const { return *std::max_element(steps_.begin(), steps_.end()); }

 private:
  bool running_ = false;
  steady::time_point began_;
  std::vector<double> steps_;
};

class program {
 public:
  program(const fs::path& shim, const fs::path& directory)
      : scratch_(directory),
        mark_(fmt::format("REMORA_BENCH_MARK={}", ::getpid())),
        host_(process::make_host(loop_.get_executor(), shim)) {}

  void measure_rest(int agents) {
    print_header(
        fmt::format("{} agents at rest for {} s, none of them a run's", agents, rest.count()),
        {"what", "measured", "budget"});
    const double before = memory_of(::getpid()).share;
    const auto all = start_all(agents, sleeper);
    const double mine = (memory_of(::getpid()).share - before) / agents;
    const std::vector<int> shims = children(::getpid());
    memory_use sum;
    for (const int pid : shims) {
      const memory_use use = memory_of(pid);
      sum = {sum.resident + use.resident, sum.share + use.share, sum.alone + use.alone};
    }
    const auto used = [&] {
      double seconds = 0;
      for (const int pid : shims) seconds += cpu_seconds(pid);
      return seconds;
    };
    const double own_before = cpu_seconds(::getpid());
    const double shims_before = used();
    wait(pass(rest));
    const double percent = 100.0 / static_cast<double>(rest.count());
    const auto n = static_cast<double>(shims.size());
    print_row({"orchestrator KiB an agent, PSS", cell(mine), "64"});
    print_row({"shim KiB, PSS", cell(sum.share / n), "1024"});
    print_row({"shim KiB, USS", cell(sum.alone / n), ""});
    print_row({"shim KiB, RSS", cell(sum.resident / n), ""});
    print_row({"orchestrator % of a core",
               cell((cpu_seconds(::getpid()) - own_before) * percent, 2), "5"});
    print_row({"all shims % of a core", cell((used() - shims_before) * percent, 2), ""});
    end_all(all);
  }

  void measure_starts() {
    print_header(fmt::format("A start, of {}: how long it holds the loop, in µs", starts),
                 {"the orchestrator holds", "p50", "p99", "its longest step, p99", "budget of p50",
                  "posix_spawn of sleep by hand, p50", "until the exec is proven, p50"});
    start_row("nothing", 0);
    start_row("1 GiB", ballast_bytes);
  }

  void measure_kills(int cycles) {
    print_header(fmt::format("{} trees of seven processes, six of which forked twice: from KILL to "
                             "the proof that nobody is left, in ms",
                             cycles),
                 {"p50", "p99", "most", "budget of p99", "survivors", "zombies",
                  "one process by hand, p50"});
    std::vector<double> ms, by_hand;
    for (int i = 0; i < cycles; ++i) {
      const auto child = start(scatter);
      wait(lines_of(*child, scattered));
      ms.push_back(answered<process::emptied>(*child, [&] { child->kill(); }));
      by_hand.push_back(kill_by_hand());
    }
    wait(joined());
    print_row({cell(percentile(ms, 0.5)), cell(percentile(ms, 0.99)), cell(percentile(ms, 1)),
               "1000", std::to_string(survivors()),
               std::to_string(children(::getpid(), "Z").size()), cell(percentile(by_hand, 0.5))});
  }

  void measure_commands() {
    print_header(
        fmt::format("{} times, a tree of seven processes: until the answer, in ms", commands),
        {"beside", "deadline to frozen, p50", "p99", "thaw, p99", "budget"});
    command_row("nothing", 0, "5");
    command_row(fmt::format("{} agents that print without end", floods), floods, "p99 100");
  }

 private:
  process::spawn_spec spec(const char* script) {
    process::spawn_spec s;
    const std::string number = std::to_string(++made_);
    s.argv = {"sh", "-c", script};
    s.environment = {{"PATH", "/usr/bin:/bin"}, {"REMORA_BENCH_MARK", std::to_string(::getpid())}};
    s.cwd = scratch_.path();
    s.attempt_dir = scratch_.path() / number;
    s.name = fmt::format("bench-{}.{}", ::getpid(), number);
    return s;
  }

  /// What `work` gives. With a meter the loop is turned by hand; between its steps it sleeps, as
  /// one that waits: who never does is the first to lose its processor to those whom it wakes.
  template <class T>
  T wait(asio::awaitable<T> work, meter* of = nullptr) {
    std::optional<T> given;
    std::exception_ptr failed;
    asio::co_spawn(loop_, std::move(work), [&](std::exception_ptr e, T value) {
      failed = e;
      given.emplace(std::move(value));
    });
    while (!given) {
      if (loop_.stopped()) loop_.restart();
      if (of) of->step_begins();
      const bool ran = of ? loop_.poll_one() > 0 : loop_.run_one() > 0;
      if (of && ran) of->step_ends();
      if (!ran) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    if (failed) std::rethrow_exception(failed);
    return std::move(*given);
  }

  std::unique_ptr<process::child> start(const char* script) {
    auto child = wait(host_->start(spec(script)));
    if (!child) throw std::runtime_error(child.error().what);
    return std::move(*child);
  }

  asio::awaitable<std::unique_ptr<process::child>> metered_start(meter& of) {
    process::spawn_spec s = spec(sleeper);
    of.begin();
    auto child = co_await host_->start(std::move(s));
    of.end();
    if (!child) throw std::runtime_error(child.error().what);
    co_return std::move(*child);
  }

  std::vector<std::shared_ptr<process::child>> start_all(int count, const char* script) {
    std::vector<std::shared_ptr<process::child>> all;
    for (int i = 0; i < count; ++i) {
      all.emplace_back(start(script));
      asio::co_spawn(loop_, drain(all.back()), [](std::exception_ptr) {});
    }
    return all;
  }

  void end_all(const std::vector<std::shared_ptr<process::child>>& all) {
    for (const auto& one : all) one->kill();
    wait(joined());
  }

  static asio::awaitable<void> drain(std::shared_ptr<process::child> child) {
    for (bool living = true; living;) {
      const process::child_event event = co_await child->next();
      living = !std::holds_alternative<process::emptied>(event);
    }
  }

  /// True once there was such an event; false where there will be none.
  template <class Event>
  static asio::awaitable<bool> until(process::child& child) {
    bool found = false;
    for (bool living = true; living && !found;) {
      const process::child_event event = co_await child.next();
      found = std::holds_alternative<Event>(event);
      living = !std::holds_alternative<process::emptied>(event);
    }
    co_return found;
  }

  static asio::awaitable<bool> lines_of(process::child& child, std::size_t count) {
    while (count > 0) {
      const process::child_event event = co_await child.next();
      if (const auto* out = std::get_if<process::out_bytes>(&event))
        count -= std::min(count, out->bytes.size());
      if (std::holds_alternative<process::emptied>(event))
        throw std::runtime_error("the agent has ended");
    }
    co_return true;
  }

  asio::awaitable<bool> joined() {
    co_await host_->join();
    co_return true;
  }

  asio::awaitable<bool> pass(std::chrono::seconds time) {
    asio::steady_timer timer(loop_, time);
    co_await timer.async_wait(asio::use_awaitable);
    co_return true;
  }

  asio::awaitable<bool> freeze_at(process::child& child, steady::time_point when) {
    asio::steady_timer timer(loop_, when);
    co_await timer.async_wait(asio::use_awaitable);
    child.freeze();
    const bool answered = co_await until<process::frozen>(child);
    co_return answered;
  }

  /// Milliseconds until the answer.
  template <class Event, class Command>
  double answered(process::child& child, Command command) {
    const auto began = steady::now();
    command();
    if (!wait(until<Event>(child))) throw std::runtime_error("the agent has ended");
    return microseconds(steady::now() - began) / 1e3;
  }

  /// Milliseconds from a deadline until the tree is frozen.
  double frozen_after_deadline(process::child& child) {
    const auto when = steady::now() + std::chrono::milliseconds(5);
    if (!wait(freeze_at(child, when))) throw std::runtime_error("the agent has ended");
    return microseconds(steady::now() - when) / 1e3;
  }

  void start_row(const std::string& name, std::size_t bytes) {
    std::vector<char> ballast(bytes);
    std::memset(ballast.data(), 1, ballast.size());
    std::vector<double> held, longest, by_hand, whole;
    for (int i = 0; i < starts; ++i) {
      meter of;
      const auto began = steady::now();
      const auto child = wait(metered_start(of), &of);
      whole.push_back(microseconds(steady::now() - began));
      held.push_back(of.sum());
      longest.push_back(of.longest());
      answered<process::emptied>(*child, [&] { child->kill(); });
      by_hand.push_back(spawn_by_hand());
    }
    print_row({name, cell(percentile(held, 0.5)), cell(percentile(held, 0.99)),
               cell(percentile(longest, 0.99)), "100", cell(percentile(by_hand, 0.5)),
               cell(percentile(whole, 0.5))});
  }

  void command_row(const std::string& name, int others, const char* budget) {
    const auto loud = start_all(others, "exec yes 'a line of what agents say all day long'");
    const auto child = start(scatter);
    wait(lines_of(*child, scattered));
    std::vector<double> freeze, thaw;
    for (int i = 0; i < commands; ++i) {
      freeze.push_back(frozen_after_deadline(*child));
      thaw.push_back(answered<process::thawed>(*child, [&] { child->thaw(); }));
    }
    answered<process::emptied>(*child, [&] { child->kill(); });
    end_all(loud);
    print_row({name, cell(percentile(freeze, 0.5), 2), cell(percentile(freeze, 0.99), 2),
               cell(percentile(thaw, 0.99), 2), budget});
  }

  /// Those that carry our mark.
  std::size_t survivors() const {
    std::size_t count = 0;
    for (const int pid : processes())
      if (pid != ::getpid() && read_proc(pid, "environ").find(mark_) != std::string::npos) ++count;
    return count;
  }

  static pid_t spawn(const char* duration) {
    std::string name = "sleep", argument = duration;
    char* argv[] = {name.data(), argument.data(), nullptr};
    pid_t pid = 0;
    if (::posix_spawnp(&pid, "sleep", nullptr, nullptr, argv, environ) != 0)
      throw std::runtime_error("cannot start sleep");
    return pid;
  }

  static double spawn_by_hand() {
    pid_t pid = 0;
    const double ms = milliseconds_of([&] { pid = spawn("0"); });
    ::waitpid(pid, nullptr, 0);
    return ms * 1e3;
  }

  static double kill_by_hand() {
    const pid_t pid = spawn("987654");
    return milliseconds_of([&] {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    });
  }

  int made_ = 0;
  scratch scratch_;
  std::string mark_;
  asio::io_context loop_{1};
  std::unique_ptr<process::host> host_;
};

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  using namespace remora::bench;
  if (argc < 2) {
    std::cerr << "supervise SHIM [CYCLES [AGENTS [DIRECTORY]]]\n";
    return 2;
  }
  const arguments number(argc, argv);
  const int cycles = number(2, 1000);
  const int agents = number(3, 1000);
  const std::filesystem::path directory = argc > 4 ? argv[4] : "/tmp";
  remora::process::prepare_this_process();
  {
    program host(argv[1], directory);
    host.measure_rest(agents);
    host.measure_starts();
    host.measure_kills(cycles);
    host.measure_commands();
  }
  isolate_git();
  const auto remora = std::filesystem::absolute(argv[1]).parent_path() / "remora";
  measure_successors(remora, directory);
  measure_run_at_rest(remora, agents, directory);
  return 0;
} catch (const std::exception& e) {
  std::cerr << "supervise: " << e.what() << '\n';
  return 1;
}

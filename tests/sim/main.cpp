// Plays whole runs in memory, seed by seed, and stops at the first one that breaks an invariant.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <thread>

#include "sim/scenario.hpp"

namespace {

using namespace remora::sim;

struct job {
  std::uint64_t from = 1, seeds = 100'000;
  std::uint64_t tasks = 4;  ///< of one plan, at most
  double minutes = 0;
  unsigned threads = 2;
};

struct found {
  std::mutex mutex;
  std::uint64_t seed = 0;  ///< the lowest; 0: none
  std::atomic<std::uint64_t> played{0}, lives{0}, steps{0};
};

void play_all(const job& j, std::atomic<std::uint64_t>& next, std::atomic<bool>& stop, found& f) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(60 * j.minutes);
  while (!stop) {
    const std::uint64_t seed = next++;
    if (j.minutes > 0 ? std::chrono::steady_clock::now() >= until : seed >= j.from + j.seeds)
      return;
    const verdict v = play(seed, j.tasks, false);
    ++f.played;
    f.lives += v.lives;
    f.steps += v.steps;
    if (v.violation.empty()) continue;
    const std::lock_guard lock(f.mutex);
    if (f.seed == 0 || seed < f.seed) f.seed = seed;
    stop = true;
  }
}

int show(std::uint64_t seed, std::uint64_t tasks) {
  const verdict v = play(seed, tasks, true);
  for (const std::string& line : v.trace) fmt::print("{}\n", line);
  fmt::print("seed {}: {} ({} steps, {} orchestrators)\n", seed,
             v.violation.empty() ? "all invariants held" : v.violation, v.steps, v.lives);
  return v.violation.empty() ? 0 : 1;
}

int show_nights(std::uint64_t from, std::uint64_t nights) {
  std::uint64_t steps = 0;
  for (std::uint64_t seed = from; seed < from + nights; ++seed) {
    const verdict v = play_night(seed, false);
    steps += v.steps;
    if (v.violation.empty()) continue;
    for (const std::string& line : play_night(seed, true).trace) fmt::print("{}\n", line);
    fmt::print("night {}: {}\n", seed, v.violation);
    return 1;
  }
  fmt::print("{} nights from {}: nothing failed that could be resumed ({} steps)\n", nights, from,
             steps);
  return 0;
}

int play_job(const job& j) {
  std::atomic<std::uint64_t> next{j.from};
  std::atomic<bool> stop{false};
  found f;
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < j.threads; ++i)
    threads.emplace_back([&] { play_all(j, next, stop, f); });
  for (std::thread& t : threads) t.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (f.seed != 0) return show(f.seed, j.tasks);
  fmt::print(
      "{} seeds from {}: all invariants held ({} orchestrators, {} steps, {:.1f} s, "
      "{:.0f} seeds a minute)\n",
      f.played.load(), j.from, f.lives.load(), f.steps.load(), took.count(),
      60 * static_cast<double>(f.played.load()) / took.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Plays whole runs in memory, seed by seed; exits 1 at the first broken invariant");
  job j;
  std::uint64_t traced = 0;
  app.add_option("--seeds", j.seeds, "how many")->capture_default_str();
  app.add_option("--from", j.from, "the first one")->capture_default_str();
  app.add_option("--minutes", j.minutes, "play for so long instead of --seeds");
  app.add_option("--tasks", j.tasks, "of one plan, at most (half of all have one)")
      ->capture_default_str()
      ->check(CLI::Range(1, 4));
  app.add_option("--threads", j.threads, "play on so many")->capture_default_str();
  app.add_option("--trace", traced, "play this one only, and show what happens");
  std::uint64_t nights = 0;
  app.add_option("--nights", nights, "play so many nights of two hundred tasks instead");
  CLI11_PARSE(app, argc, argv);
  if (nights > 0) return show_nights(j.from, nights);
  return traced != 0 ? show(traced, j.tasks) : play_job(j);
}

// What durability costs: journal records a second, syncs of a checkpoint, a checkpoint beside
// another program's unwritten data, and several checkpoints at once.
//
//   durability [TURNS [DIRECTORY]]     9 /tmp
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <remora/core/posix.hpp>
#include <remora/run/journal.hpp>
#include <stdexcept>
#include <thread>

#include "checkpoint_task.hpp"
#include "measure.hpp"
#include "sync_count.hpp"

namespace remora::bench {
namespace {
namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr std::size_t repository_files = 2'000;

boost::json::object payload(std::size_t i) {
  return {{"task", fmt::format("task-{}", i % 200)},
          {"event", {{"type", "tool_call"}, {"id", std::to_string(i)}, {"name", "Edit"}}}};
}

/// Each of `writers` appends its share and waits after every `burst` records until they are
/// durable.
double records_a_second(const fs::path& file, std::size_t writers, std::size_t burst,
                        std::size_t all) {
  asio::io_context loop;
  auto opened = must(run::open_journal_file(file, 0));
  auto log =
      std::make_unique<run::journal>(loop.get_executor(), std::move(opened), machine_clock());
  const auto write = [&](std::size_t count) -> asio::awaitable<void> {
    for (std::size_t done = 0; done < count;) {
      run::sequence last = 0;
      for (std::size_t i = 0; i < burst && done < count; ++i)
        last = log->append("agent_event", payload(done++)).seq;
      auto durable = co_await log->durable(last);
      must(std::move(durable));
    }
  };
  for (std::size_t i = 0; i < writers; ++i)
    asio::co_spawn(loop, write(all / writers), [](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
    });
  const double ms = milliseconds_of([&] { loop.run(); });
  log.reset();
  fs::remove(file);
  return static_cast<double>(all) / ms * 1000;
}

void journal_table(const fs::path& directory, int turns) {
  print_header(fmt::format("Journal, group commit, median of {} turns", turns),
               {"writers", "records before each waits", "records a second"});
  for (const auto& [writers, burst, all] :
       {std::tuple{1U, 1'000U, 200'000U}, {200U, 10U, 200'000U}, {200U, 1U, 50'000U}}) {
    std::vector<double> rates;
    for (int turn = 0; turn < turns; ++turn)
      rates.push_back(records_a_second(directory / "journal", writers, burst, all));
    print_row({std::to_string(writers), std::to_string(burst), cell(median(rates), 0)});
  }
}

class checkpoints {
 public:
  checkpoints(const fs::path& directory, int turns)
      : turns_(turns), root_(directory), repo_(directory / "repo", repository_files) {
    repo_.add_worktree(root_ / "tree");
    task_.emplace(repo_.root(), root_ / "tree", root_ / "attempt", "one");
  }

  /// The journal's own sync comes on top: one.
  void sync_table() {
    print_header("Syncs of a checkpoint, without the journal's", {"what", "syncs"});
    sync_row("first of a task", 1);
    for (const std::size_t changed : {0U, 1U, 10U, 1'000U})
      sync_row(fmt::format("{} changed", changed), changed);
    std::ofstream(root_ / "tree" / "large") << std::string(64 << 20, 'x');
    sync_row("one new file of 64 MiB", 0);
  }

  /// ext4 starts to write at once what comes in a truncated file's place (`auto_da_alloc`), and any
  /// sync then waits for it: beside it stands what one sync of a small file takes at such a moment.
  void dirty_table() {
    struct row {
      const char* beside;
      std::function<void()> prepare;
      std::vector<double> ms, ratios, sync_ms;
    };
    const auto foreign = root_ / "foreign";
    row rows[] = {{"nothing", [] {}, {}, {}, {}},
                  {"300 MB in a new file, not synced", [&] { write_foreign_data(); }, {}, {}, {}},
                  {"300 MB in a truncated file's place, not synced",
                   [&] {
                     write_foreign_data();
                     shell(fmt::format("sync '{}'", foreign.string()));
                     write_foreign_data();
                   },
                   {},
                   {},
                   {}}};
    for (int turn = 0; turn <= turns_; ++turn) {
      double alone = 0;
      for (row& r : rows) {
        const double one = timed(r.prepare, [this] { sync_small_file(); });
        const double ms = timed(r.prepare, [this] { task_->checkpoint(); });
        task_->merge();
        if (&r == rows) alone = ms;
        if (turn == 0) continue;
        r.ms.push_back(ms);
        r.ratios.push_back(ms / alone);
        r.sync_ms.push_back(one);
      }
    }
    print_header(fmt::format("Checkpoint of 10 changed files, median of {} turns", turns_),
                 {"beside", "ms", "ratio", "one sync of a small file, ms"});
    for (row& r : rows)
      print_row({r.beside, cell(median(r.ms)), cell(median(r.ratios), 2), cell(median(r.sync_ms))});
  }

  void crowd_table() {
    print_header(
        fmt::format("Checkpoints at once, 10 changed files each, median of {} turns", turns_),
        {"tasks", "the slowest, ms", "ratio to one alone"});
    double alone = 0;
    for (const std::size_t tasks : {1U, 2U, 8U}) {
      while (crowd_.size() < tasks) add_to_crowd();
      std::vector<double> slowest;
      for (int turn = 0; turn <= turns_; ++turn) slowest.push_back(slowest_of(tasks));
      const double ms = median(slowest);
      if (tasks == 1) alone = ms;
      print_row({std::to_string(tasks), cell(ms), cell(ms / alone, 2)});
    }
  }

 private:
  void sync_row(const std::string& what, std::size_t changed) {
    change_files(repo_, root_ / "tree", changed, ++seed_);
    const std::uint64_t before = syncs();
    task_->checkpoint();
    print_row({what, std::to_string(syncs() - before)});
  }

  double timed(const std::function<void()>& prepare, const std::function<void()>& what) {
    change_files(repo_, root_ / "tree", 10, ++seed_);
    fs::remove(root_ / "foreign");
    shell(fmt::format("sync -f '{}'", root_.string()));
    prepare();
    return milliseconds_of(what);
  }

  void write_foreign_data() const {
    const std::string piece(1 << 20, 'f');
    std::ofstream out(root_ / "foreign", std::ios::binary | std::ios::trunc);
    for (int i = 0; i < 300; ++i) out << piece;
  }

  void sync_small_file() {
    const auto fd = must(
        open_file(root_ / fmt::format("small-{}", ++seed_), O_WRONLY | O_CREAT | O_EXCL, 0644));
    must(write_all(fd.get(), "small\n"));
    if (::fsync(fd.get()) != 0) throw std::runtime_error("cannot sync a small file");
  }

  struct member {
    fs::path tree;
    std::unique_ptr<remora_task> task;
  };

  void add_to_crowd() {
    const std::string name = fmt::format("crowd-{}", crowd_.size());
    repo_.add_worktree(root_ / name);
    auto task = std::make_unique<remora_task>(repo_.root(), root_ / name,
                                              root_ / (name + ".attempt"), name);
    task->checkpoint();
    crowd_.push_back({root_ / name, std::move(task)});
  }

  double slowest_of(std::size_t tasks) {
    for (std::size_t i = 0; i < tasks; ++i) change_files(repo_, crowd_[i].tree, 10, ++seed_);
    shell(fmt::format("sync -f '{}'", root_.string()));
    std::vector<double> ms(tasks);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < tasks; ++i)
      threads.emplace_back(
          [&, i] { ms[i] = milliseconds_of([&] { crowd_[i].task->checkpoint(); }); });
    for (std::thread& t : threads) t.join();
    crowd_.front().task->merge();
    return *std::max_element(ms.begin(), ms.end());
  }

  int turns_;
  fs::path root_;
  sample_repository repo_;
  std::optional<remora_task> task_;
  std::vector<member> crowd_;
  std::uint32_t seed_ = 0;
};

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  using namespace remora::bench;
  const int turns = arguments(argc, argv)(1, 9);
  isolate_git();
  remora::git::initialise();
  const scratch directory(argc > 2 ? argv[2] : "/tmp");
  journal_table(directory.path(), turns);
  checkpoints c(directory.path(), turns);
  c.sync_table();
  c.dirty_table();
  c.crowd_table();
  return 0;
} catch (const std::exception& e) {
  std::cerr << "durability: " << e.what() << '\n';
  return 1;
}

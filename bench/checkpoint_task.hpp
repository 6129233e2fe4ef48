// A task of remora's as the benchmarks drive it: take, prepare, publish, without an agent.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <remora/run/git_jobs.hpp>
#include <stdexcept>

namespace remora::bench {

template <class T>
T must(result<T> r) {
  if (!r) throw std::runtime_error(r.error().what);
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

/// What the run room does for one task: take, prepare, publish.
class remora_task {
 public:
  remora_task(const std::filesystem::path& repo, const std::filesystem::path& worktree,
              const std::filesystem::path& attempt, std::string_view name)
      : worker_(must(git::repository::discover(repo))),
        task_(must(task_id::parse(name))),
        base_(must(worker_.repo.resolve_commit("HEAD"))),
        attempt_(attempt),
        tree_(must(git::open_worktree(worker_.repo, worktree))) {
    std::filesystem::create_directories(attempt_);
    std::ofstream(attempt_ / "out") << std::string(most_output, 'x');
    forget();
  }

  /// As after a start: nothing is known of the worktree.
  void forget() {
    where_ = std::make_shared<run::workspace>();
    where_->tree = tree_;
    where_->snapshots = must(git::snapshotter::open(worker_.repo, tree_, base_, {}));
    previous_.reset();
  }

  /// A task of its own: its first checkpoint.
  void start(std::string_view name) {
    task_ = must(task_id::parse(name));
    forget();
    number_ = checkpoint_no();
  }

  void checkpoint() {
    save(fmt::format("{{\"turns\":{},\"notes\":\"{}\"}}\n", number_.value() + 1,
                     std::string(state_bytes, 'n')),
         ((number_.value() + 1) * piece_bytes) % (most_output - piece_bytes), piece_bytes);
  }

  /// With this state; `said` is what its agent has printed since the last one.
  void checkpoint(std::string state, std::string_view said) {
    std::ofstream(attempt_ / "out") << said;
    save(std::move(state), 0, said.size());
  }

  /// As a run does once a checkpoint is announced.
  void merge() const { must(run::merge_packs(&worker_.repo, {})); }

  /// As another process would.
  void read_newest() const {
    const reader r(worker_.repo);
    const auto newest = must(r.store.newest(run_, task_)).value();
    must(r.store.read_mind(newest));
    must(r.store.read_snapshot(newest));
  }
  void list() const { must(reader(worker_.repo).store.history(run_, task_)); }

 private:
  struct reader {
    explicit reader(const git::repository& of)
        : repo(must(of.reopen())), objects(repo), store(repo, objects, true) {}
    git::repository repo;
    git::object_writer objects;
    checkpoint::store store;
  };

  void save(std::string state, std::uint64_t from, std::uint64_t bytes) {
    number_ = number_.next();
    checkpoint::request record{.run = run_, .task = task_, .base = base_};
    record.attempt = attempt_no(1);
    record.number = number_;
    record.reason = "interval";
    record.previous = previous_;
    record.seconds = 1'700'000'000;
    record.mind.state = std::move(state);
    run::save_request save(std::move(record));
    save.attempt_dir = attempt_;
    save.out_from = from;
    save.out_to = from + bytes;
    save.branch = "refs/heads/bench";
    auto taken = must(run::take_checkpoint(&worker_, where_, std::move(save), {}));
    previous_ = taken.prepared.value().what.commit;
    must(run::publish_checkpoint(&worker_, where_, std::move(*taken.prepared),
                                 std::move(*taken.files), true));
  }

  static constexpr std::size_t most_output = 1 << 20;
  static constexpr std::size_t piece_bytes = 8 << 10;
  static constexpr std::size_t state_bytes = 2 << 10;

  run::git_worker worker_;
  run_id run_ = run_id::make(std::chrono::system_clock::now(), 1);
  task_id task_;
  git::oid base_;
  std::filesystem::path attempt_;
  git::worktree tree_;
  std::shared_ptr<run::workspace> where_;
  checkpoint_no number_;
  std::optional<git::oid> previous_;
};

}  // namespace remora::bench

// The machine's run store: git workers, the run's lock, its directory and its record. Private to
// the run room.
#pragma once

#include <list>
#include <remora/git/change_watch.hpp>
#include <remora/git/programs.hpp>
#include <remora/run/run_record.hpp>
#include <remora/run/run_store.hpp>

namespace remora::run {

/// What the tasks of an opened run share.
struct git_run {
  run_id id;
  plan what;
  run_layout layout;
  std::filesystem::path slots_root;
  std::filesystem::path checkout;            ///< the user's; empty for a bare repository
  std::shared_ptr<git::change_watch> watch;  ///< null: inotify is used up (F6)
  std::shared_ptr<git::shared_trees> shared;
  run_lock lock;
  git::program_settings programs;               ///< that the configuration named when the run began
  mutable boost::asio::thread_pool remover{1};  ///< a walk over all history delays no checkpoint
  mutable boost::asio::thread_pool merger{1};   ///< nor does a merge those of other tasks
  mutable bool merging = false;                 ///< thread: the loop's
};

/// A worker and how many tasks have it.
struct shared_worker {
  explicit shared_worker(git::repository opened, const run_lock* lock)
      : worker(std::move(opened), lock) {}
  git_worker worker;
  std::size_t tasks = 0;
};

/// Slots that tasks have left to others. Thread: the loop's.
using free_slots = std::vector<std::shared_ptr<workspace>>;

class git_task_store final : public task_store {
 public:
  git_task_store(const git_run& run, const task_plan& task, shared_worker& shared, free_slots& free)
      : run_(run), task_(task), shared_(shared), worker_(&shared.worker), free_(free) {
    ++shared_.tasks;
  }
  ~git_task_store() override { --shared_.tasks; }

  awaited<recovered_task> recover(task_fold fold) override;
  awaited<task_start> start_from(git::oid record) override;
  awaited<slot_lent> make_slot(slot_request request, std::stop_token stop) override;
  awaited<void> free_slot(std::filesystem::path root, std::size_t waiting) override;
  result<bool> slot_exists(const std::filesystem::path& root) const override;
  awaited<save_taken> take_checkpoint(save_request request, std::stop_token stop) override;
  awaited<std::string> publish_checkpoint(checkpoint::prepared prepared, git::snapshot files,
                                          bool keep_branch) override;
  boost::asio::awaitable<void> merge_packs(std::stop_token stop) override;
  awaited<std::optional<std::uint64_t>> remove_unreachable(std::stop_token stop) override;
  awaited<void> remove_checkpoint(git::oid record) override;
  awaited<git::oid> files_commit(git::oid record) override;
  awaited<transcript_sizes> saved_transcript(git::oid record, attempt_no attempt) override;
  awaited<task_changes> changes_since(git::oid base, git::oid files,
                                      std::size_t patch_limit) override;
  awaited<result_made> publish_result(result_request request) override;
  awaited<std::vector<std::string>> user_branches() override;
  awaited<void> begin_attempt(std::string name, std::string state, std::string prompt) override;
  awaited<attempt_files> read_attempt(std::string name) override;
  result<process::attempt_remains> inspect_attempt(const std::string& name) override;
  std::string notes(std::size_t limit) override;
  std::string result_text(std::size_t limit) override;
  result<void> add_note(const std::string& text) override;
  result<void> add_told(const std::string& attempt, const std::string& line) override;

 private:
  bool is_ours(const std::filesystem::path& slot) const;

  const git_run& run_;
  const task_plan& task_;
  shared_worker& shared_;
  git_worker* worker_;
  free_slots& free_;
  std::shared_ptr<workspace> where_;
};

class git_run_store final : public run_store {
 public:
  explicit git_run_store(git::repository& repo) : repo_(repo) {}

  result<run_preview> preview(const plan& p) override;
  run_layout layout(const run_id& run) const override;
  result<std::optional<record>> read_journal_head(const run_id& run) override;
  void sweep() override;
  result<void> open(const run_id& run, const plan& p) override;
  result<void> check() const override;
  result<void> sync_objects() override;
  result<std::vector<std::string>> remove_ref_locks() override;
  result<journal_contents> read_journal() override;
  result<std::unique_ptr<journal_file>> open_journal(std::uint64_t valid_bytes) override;
  result<std::unique_ptr<task_store>> open_task(const task_plan& task) override;
  awaited<void> remove_free_slots() override;
  void remove_run() override;
  awaited<checkout_base> commit_checkout(std::int64_t seconds) override;
  awaited<void> record_start(boost::json::object run, std::vector<git::oid> parents,
                             std::optional<run_id> continues) override;
  awaited<void> record_open() override;
  awaited<void> record_task(task_id task, boost::json::object payload,
                            std::optional<git::oid> record,
                            std::optional<git::oid> result) override;
  awaited<void> record_missing_task(task_id task, boost::json::object payload,
                                    std::optional<git::oid> record) override;
  awaited<void> record_end(boost::json::object ended) override;

 private:
  result<shared_worker*> open_worker();
  boost::asio::thread_pool& keeper() { return workers_.front().worker.pool; }

  git::repository& repo_;
  std::unique_ptr<git_run> run_;
  free_slots free_;
  std::list<shared_worker> workers_;  ///< the first one writes the run's record too
  std::unique_ptr<run_record_writer> recorder_;
};

}  // namespace remora::run

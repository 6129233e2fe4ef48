// Git and the disk of a simulated machine: the contract of `run::run_store`, kept in memory. What
// is written is visible first and durable only when the call returns; a crash may come between.
#pragma once

#include <remora/run/run_store.hpp>

#include "sim/world.hpp"

namespace remora::sim {

class virtual_task_store final : public run::task_store {
 public:
  /// `free`: slots that this orchestrator's tasks have left to others.
  virtual_task_store(world& w, life& owner, std::size_t task, std::vector<std::string>& free)
      : w_(w), owner_(owner), task_(task), free_(free) {}

  awaited<run::recovered_task> recover(run::task_fold fold) override;
  awaited<run::task_start> start_from(git::oid record) override;
  awaited<run::slot_lent> make_slot(run::slot_request request, std::stop_token stop) override;
  awaited<void> free_slot(std::filesystem::path root, std::size_t waiting) override;
  result<bool> slot_exists(const std::filesystem::path& root) const override;
  awaited<run::save_taken> take_checkpoint(run::save_request request,
                                           std::stop_token stop) override;
  awaited<std::string> publish_checkpoint(checkpoint::prepared prepared, git::snapshot files,
                                          bool keep_branch) override;
  boost::asio::awaitable<void> merge_packs(std::stop_token) override { co_return; }
  awaited<std::optional<std::uint64_t>> remove_unreachable(std::stop_token stop) override;
  awaited<void> remove_checkpoint(git::oid record) override;
  awaited<git::oid> files_commit(git::oid record) override;
  awaited<run::transcript_sizes> saved_transcript(git::oid record, attempt_no attempt) override;
  awaited<run::task_changes> changes_since(git::oid base, git::oid files,
                                           std::size_t patch_limit) override;
  awaited<run::result_made> publish_result(run::result_request request) override;
  awaited<std::vector<std::string>> user_branches() override;
  awaited<void> begin_attempt(std::string name, std::string state, std::string prompt) override;
  awaited<run::attempt_files> read_attempt(std::string name) override;
  result<process::attempt_remains> inspect_attempt(const std::string& name) override;
  std::string notes(std::size_t limit) override;
  std::string result_text(std::size_t limit) override;
  result<void> add_note(const std::string&) override { return {}; }
  result<void> add_told(const std::string&, const std::string&) override { return {}; }

 private:
  boost::asio::awaitable<void> turn();
  result<void> take_newest(const run::task_fold& fold, run::recovered_task& r);
  result<void> go_on_from(const git::oid& record, run::task_start& start);
  void free_branch(const run::slot_request& request);
  boost::asio::awaitable<bool> take_free_slot(units work);
  void make_new_slot(units work);
  void remove(const std::string& slot);

  world& w_;
  life& owner_;
  std::size_t task_;
  std::vector<std::string>& free_;
  time_point free_at_{};  ///< a worker does one thing at a time
  std::string slot_;
  std::optional<units> last_;  ///< of the newest checkpoint, as this worktree's books have it
};

class virtual_run_store final : public run::run_store {
 public:
  virtual_run_store(world& w, life& owner) : w_(w), owner_(owner) {}

  result<run::run_preview> preview(const run::plan& p) override;
  run::run_layout layout(const run_id& run) const override;
  result<std::optional<run::record>> read_journal_head(const run_id& run) override;
  void sweep() override;
  result<void> sync_objects() override;
  awaited<run::checkout_base> commit_checkout(std::int64_t seconds) override;
  result<void> open(const run_id& run, const run::plan& p) override;
  result<void> check() const override;
  result<std::vector<std::string>> remove_ref_locks() override;
  result<run::journal_contents> read_journal() override;
  result<std::unique_ptr<run::journal_file>> open_journal(std::uint64_t valid_bytes) override;
  result<std::unique_ptr<run::task_store>> open_task(const run::task_plan& task) override;
  awaited<void> remove_free_slots() override;
  void remove_run() override;
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
  void remove_half_made(const std::string& slot);

  world& w_;
  life& owner_;
  std::vector<std::string> free_;
};

/// Something goes wrong on the disk now: an error, or an exception where a bug is due.
std::optional<error> disk_fault(world& w, life& owner, const char* doing);

}  // namespace remora::sim

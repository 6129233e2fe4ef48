#include "run/git_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/git/packs.hpp>
#include <remora/io/run_on.hpp>
#include <remora/run/leftovers.hpp>
#include <remora/run/retire.hpp>

#include "run/append_line.hpp"
#include "run/checkout_base.hpp"
#include "run/recover.hpp"
#include "run/slot_branch.hpp"

namespace remora::run {
namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

constexpr std::size_t least_workers = 2, most_workers = 8;

// What is awaited, as functions of values.

result<recovered_task> recover_on(git_worker* worker, run_id run, task_plan task, task_fold fold) {
  REMORA_CHECK(worker->check_lock());  // what a former owner knows of the refs is old
  REMORA_TRY(const unique_fd held, git::hold_objects(worker->repo));
  return recover_task(worker->repo, worker->objects, run, task, fold);
}

result<task_start> start_on(git_worker* worker, run_id run, git::oid record) {
  return run::start_from(worker->repo, worker->objects, run, record);
}

result<void> write_attempt(fs::path dir, fs::path temporary, std::string state,
                           std::string prompt) {
  REMORA_CHECK(make_directories(dir));
  REMORA_CHECK(make_directories(temporary));
  REMORA_CHECK(write_file_durably(dir / "state.json", state));
  return write_file_durably(dir / "prompt.md", prompt);
}

/// It is read at once after a crash.
constexpr std::uintmax_t longest_told = 16u << 20;

/// Empty where there is none, or where it is damaged: the agent's files are worth more than its
/// words. Errors: those that pass.
result<std::string> read_if_there(const fs::path& path) {
  auto bytes = read_file(path);
  if (!bytes && is_lack(bytes.error())) return bytes.error();
  return bytes ? std::move(*bytes) : std::string();
}

result<attempt_files> read_files(fs::path dir) {
  attempt_files files;
  REMORA_TRY(files.state, read_if_there(dir / "state.json"));
  REMORA_TRY(files.prompt, read_if_there(dir / "prompt.md"));
  REMORA_TRY(files.out, read_if_there(dir / "out"));
  REMORA_TRY(files.err, read_if_there(dir / "err"));
  REMORA_TRY(files.told, read_if_there(dir / "told"));
  return files;
}

result<void> start_record(run_record_writer* recorder, git_worker* worker, json::object run,
                          plan what, std::vector<git::oid> parents,
                          std::optional<run_id> continues) {
  if (continues) {
    const auto old = worker->repo.read_ref(checkpoint::run_ref(*continues));
    if (old && *old) parents.push_back(**old);
  }
  auto started = recorder->start(run, what, std::move(parents));
  worker->base_held.reset();
  return started;
}

result<void> open_record(run_record_writer* recorder) {
  return recorder->open();
}

result<void> write_task(run_record_writer* recorder, task_id task, json::object payload,
                        std::optional<git::oid> record, std::optional<git::oid> commit) {
  return recorder->task_ended(task, payload, record, commit);
}

result<void> write_missing_task(run_record_writer* recorder, task_id task, json::object payload,
                                std::optional<git::oid> record) {
  if (recorder->has_task(task)) return {};
  return recorder->task_ended(task, payload, record, std::nullopt);
}

result<void> end_record(run_record_writer* recorder, json::object ended, fs::path journal) {
  REMORA_TRY(const std::string text, read_file(journal));
  return recorder->finish(ended, text);
}

/// What an agent left in a file of ours: it may have put anything there. The last `limit` bytes of
/// a regular file; empty where there is none.
std::string read_agent_file(const fs::path& path, std::size_t limit) {
  const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat st{};
  if (!fd || ::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  const auto size = static_cast<std::size_t>(st.st_size);
  if (size > limit) ::lseek(fd->get(), static_cast<off_t>(size - limit), SEEK_SET);
  auto bytes = read_fd(fd->get(), 2 * limit);
  return bytes ? std::move(*bytes) : std::string();
}

/// Before an agent of the run could change them.
result<git::program_settings> programs_at_first(const git::repository& repo, const fs::path& kept) {
  const auto known = read_file(kept);
  if (known) return git::program_settings_of(*known);
  if (!known.error().is_errno(ENOENT)) return known.error();
  REMORA_TRY(git::program_settings now, git::configured_programs(repo));
  REMORA_CHECK(write_file_durably(kept, git::to_text(now)));
  return now;
}

}  // namespace

// --- a task ---

auto git_task_store::recover(task_fold fold) -> awaited<recovered_task> {
  co_return co_await io::run_on(worker_->pool, recover_on, worker_, run_.id, task_,
                                std::move(fold));
}

auto git_task_store::start_from(git::oid record) -> awaited<task_start> {
  co_return co_await io::run_on(worker_->pool, start_on, worker_, run_.id, record);
}

auto git_task_store::make_slot(slot_request request, std::stop_token stop) -> awaited<slot_lent> {
  request.slots_root = run_.slots_root;
  request.rules.watch = run_.watch;
  request.rules.shared = run_.shared;
  request.copy_from = run_.checkout;
  if (run_.what.workspace.copy)
    request.copy = *run_.what.workspace.copy;
  else if (!run_.checkout.empty())
    request.copy = git::worktree_include(run_.checkout);
  if (request.reuse.empty() && !free_.empty()) {
    request.used = std::move(free_.back());
    free_.pop_back();
  }
  auto made = co_await io::run_on(worker_->pool, run::make_slot, worker_, std::move(request), stop);
  if (!made) co_return made.error();
  where_ = made->workspace;
  co_return slot_lent{where_->tree.root, made->in_place, std::move(made->head_note),
                      std::move(made->remarks)};
}

auto git_task_store::free_slot(fs::path root, std::size_t waiting) -> awaited<void> {
  std::string branch = checkpoint::task_branch(run_.id, task_.id);
  if (where_ && same_place(where_->tree.root, root) && free_.size() < waiting) {
    const auto aside = co_await io::run_on(worker_->pool, set_slot_aside, worker_, where_, branch);
    if (aside) {
      free_.push_back(std::move(where_));
      co_return result<void>();
    }
  }
  co_return co_await io::run_on(worker_->pool, remove_slot, worker_, std::move(root),
                                std::move(branch));
}

result<bool> git_task_store::slot_exists(const fs::path& root) const {
  return is_slot_of(worker_->repo, root, checkpoint::task_branch(run_.id, task_.id));
}

auto git_task_store::take_checkpoint(save_request request, std::stop_token stop)
    -> awaited<save_taken> {
  co_return co_await io::run_on(worker_->pool, run::take_checkpoint, worker_, where_,
                                std::move(request), stop);
}

auto git_task_store::publish_checkpoint(checkpoint::prepared prepared, git::snapshot files,
                                        bool keep_branch) -> awaited<std::string> {
  co_return co_await io::run_on(worker_->pool, run::publish_checkpoint, worker_, where_,
                                std::move(prepared), std::move(files), keep_branch);
}

asio::awaitable<void> git_task_store::merge_packs(std::stop_token stop) {
  if (std::exchange(run_.merging, true)) co_return;
  const git::repository* repo = &worker_->repo;  // of which nothing is used but its place
  (void)co_await io::run_on(run_.merger, run::merge_packs, repo, std::move(stop));
  run_.merging = false;
}

auto git_task_store::remove_unreachable(std::stop_token stop)
    -> awaited<std::optional<std::uint64_t>> {
  const git::repository* repo = &worker_->repo;  // of which nothing is used but its place
  co_return co_await io::run_on(run_.remover, run::remove_unreachable, repo, std::move(stop));
}

auto git_task_store::remove_checkpoint(git::oid record) -> awaited<void> {
  co_return co_await io::run_on(worker_->pool, run::remove_checkpoint, worker_, run_.id, record);
}

auto git_task_store::files_commit(git::oid record) -> awaited<git::oid> {
  co_return co_await io::run_on(worker_->pool, read_files_commit, worker_, record);
}

auto git_task_store::saved_transcript(git::oid record, attempt_no attempt)
    -> awaited<transcript_sizes> {
  co_return co_await io::run_on(worker_->pool, run::saved_transcript, worker_, record, attempt);
}

auto git_task_store::changes_since(git::oid base, git::oid files, std::size_t patch_limit)
    -> awaited<task_changes> {
  co_return co_await io::run_on(worker_->pool, run::changes_since, worker_, base, files,
                                patch_limit);
}

auto git_task_store::publish_result(result_request request) -> awaited<result_made> {
  co_return co_await io::run_on(worker_->pool, run::publish_result, worker_, std::move(request));
}

auto git_task_store::user_branches() -> awaited<std::vector<std::string>> {
  co_return co_await io::run_on(worker_->pool, run::user_branches, worker_);
}

auto git_task_store::begin_attempt(std::string name, std::string state, std::string prompt)
    -> awaited<void> {
  co_return co_await io::run_on(worker_->pool, write_attempt, run_.layout.attempt(name),
                                run_.layout.temporary(task_.id), std::move(state),
                                std::move(prompt));
}

auto git_task_store::read_attempt(std::string name) -> awaited<attempt_files> {
  co_return co_await io::run_on(worker_->pool, read_files, run_.layout.attempt(name));
}

result<process::attempt_remains> git_task_store::inspect_attempt(const std::string& name) {
  const fs::path dir = run_.layout.attempt(name);
  // The orchestrator that started it may be stopped, and does not die; then its shim has to be
  // told.
  (void)process::give_up_attempt(dir);
  const auto remains = process::inspect_attempt(dir);
  const bool may_live = remains ? remains->alive : !remains.error().is(errc::corrupt);
  if (may_live || (remains && remains->empty)) return remains;
  // Where the shim was killed too, nobody else ends what the agent had started.
  REMORA_TRY(const bool strays, process::end_strays(dir, {"REMORA_RUN=" + run_.id.str(),
                                                          "REMORA_TASK=" + task_.id.str()}));
  if (strays) return process::attempt_remains{.alive = true, .empty = false, .exit = std::nullopt};
  return remains;
}

std::string git_task_store::notes(std::size_t limit) {
  return read_agent_file(run_.layout.notes(task_.id), limit);
}

std::string git_task_store::result_text(std::size_t limit) {
  return read_agent_file(run_.layout.result(task_.id), limit);
}

result<void> git_task_store::add_note(const std::string& text) {
  return append_line(run_.layout.notes(task_.id), text);
}

result<void> git_task_store::add_told(const std::string& attempt, const std::string& line) {
  const fs::path file = run_.layout.attempt(attempt) / "told";
  std::error_code none;
  if (const auto size = fs::file_size(file, none); !none && size > longest_told)
    return fail(errc::environment,
                fmt::format("{} is full: this attempt has set its plan often enough",
                            to_utf8(file.string())));
  return append_line(file, line);
}

// --- the run ---

result<run_preview> git_run_store::preview(const plan& p) {
  return run::preview(repo_, p);
}

run_layout git_run_store::layout(const run_id& run) const {
  return run_layout(repo_.common_dir(), run);
}

result<std::optional<record>> git_run_store::read_journal_head(const run_id& run) {
  return run::read_journal_head(layout(run).journal());
}

void git_run_store::sweep() {
  sweep_leftovers(repo_);
}

result<void> git_run_store::open(const run_id& run, const plan& p) {
  REMORA_TRY(fs::path slots, slots_root(repo_, p.workspace.dir));
  const run_layout places = layout(run);
  REMORA_TRY(run_lock taken, run_lock::take(places));
  REMORA_TRY(git::program_settings programs, programs_at_first(repo_, places.programs()));
  auto watch = git::change_watch::open();
  run_.reset(new git_run{.id = run,
                         .what = p,
                         .layout = places,
                         .slots_root = std::move(slots),
                         .checkout = repo_.work_dir().value_or(fs::path()),
                         .watch = watch ? std::move(*watch) : nullptr,
                         .shared = git::share_trees(),
                         .lock = std::move(taken),
                         .programs = std::move(programs)});
  sweep_slots(run_->slots_root);
  REMORA_TRY(shared_worker * first, open_worker());
  recorder_ = std::make_unique<run_record_writer>(first->worker.repo, first->worker.objects, run,
                                                  &run_->lock);
  for (const task_plan& t : p.tasks)
    REMORA_CHECK(make_directories(places.notes(t.id).parent_path()));
  return {};
}

result<shared_worker*> git_run_store::open_worker() {
  REMORA_TRY(git::repository opened, repo_.reopen());
  opened.trust_only(run_->programs);
  return &workers_.emplace_back(std::move(opened), &run_->lock);
}

result<void> git_run_store::check() const {
  return run_->lock.check();
}

result<void> git_run_store::sync_objects() {
  return git::sync_object_database(repo_);
}

result<std::vector<std::string>> git_run_store::remove_ref_locks() {
  return run::remove_ref_locks(repo_.common_dir(), run_->id, run_->lock);
}

result<journal_contents> git_run_store::read_journal() {
  return run::read_journal(run_->layout.journal());
}

result<std::unique_ptr<journal_file>> git_run_store::open_journal(std::uint64_t valid_bytes) {
  return open_journal_file(run_->layout.journal(), valid_bytes);
}

result<std::unique_ptr<task_store>> git_run_store::open_task(const task_plan& task) {
  const std::size_t most =
      std::clamp<std::size_t>(run_->what.parallel, least_workers, most_workers);
  const auto idlest = std::ranges::min_element(workers_, {}, &shared_worker::tasks);
  shared_worker* chosen = &*idlest;
  if (chosen->tasks > 0 && workers_.size() < most) {
    REMORA_TRY(chosen, open_worker());
  }
  return std::unique_ptr<task_store>(std::make_unique<git_task_store>(*run_, task, *chosen, free_));
}

auto git_run_store::remove_free_slots() -> awaited<void> {
  result<void> all;
  const free_slots unused = std::exchange(free_, {});
  for (const std::shared_ptr<workspace>& slot : unused) {
    fs::path root = slot->tree.root;
    auto removed =
        co_await io::run_on(keeper(), remove_free_slot, &workers_.front().worker, std::move(root));
    if (!removed) all = removed;
  }
  co_return all;
}

void git_run_store::remove_run() {
  std::error_code ignored;
  fs::remove(run_->layout.journal(), ignored);
  fs::remove_all(run_->layout.root, ignored);
  release_packs(repo_);
}

auto git_run_store::commit_checkout(std::int64_t seconds) -> awaited<checkout_base> {
  co_return co_await io::run_on(keeper(), run::commit_checkout, &workers_.front().worker, seconds);
}

auto git_run_store::record_start(json::object run, std::vector<git::oid> parents,
                                 std::optional<run_id> continues) -> awaited<void> {
  co_return co_await io::run_on(keeper(), start_record, recorder_.get(), &workers_.front().worker,
                                std::move(run), run_->what, std::move(parents),
                                std::move(continues));
}

auto git_run_store::record_open() -> awaited<void> {
  co_return co_await io::run_on(keeper(), open_record, recorder_.get());
}

auto git_run_store::record_task(task_id task, json::object payload, std::optional<git::oid> record,
                                std::optional<git::oid> commit) -> awaited<void> {
  co_return co_await io::run_on(keeper(), write_task, recorder_.get(), std::move(task),
                                std::move(payload), record, commit);
}

auto git_run_store::record_missing_task(task_id task, json::object payload,
                                        std::optional<git::oid> record) -> awaited<void> {
  co_return co_await io::run_on(keeper(), write_missing_task, recorder_.get(), std::move(task),
                                std::move(payload), record);
}

auto git_run_store::record_end(json::object ended) -> awaited<void> {
  co_return co_await io::run_on(keeper(), end_record, recorder_.get(), std::move(ended),
                                run_->layout.journal());
}

std::unique_ptr<run_store> make_git_store(git::repository& repo) {
  return std::make_unique<git_run_store>(repo);
}

}  // namespace remora::run

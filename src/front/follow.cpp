#include "front/follow.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

namespace remora::front {
namespace {

namespace json = boost::json;

/// Wakes when something is written below the directories that it was told of, and every second: the
/// kernel tells of writes and of the lock file's closing, but not of the release of the lock, which
/// comes just after; and others may have used up what it watches at all (F6).
class watch {
 public:
  /// A directory that is not there yet is found at the next call.
  void add(const std::filesystem::path& directory) {
    ::inotify_add_watch(fd_.get(), directory.c_str(),
                        IN_MODIFY | IN_CREATE | IN_CLOSE_WRITE | IN_DELETE_SELF);
  }

  void wait() {
    pollfd p{fd_.get(), POLLIN, 0};  // without a descriptor only time passes
    ::poll(&p, 1, 1000);
    char events[4096];
    while (::read(fd_.get(), events, sizeof events) > 0) continue;
  }

 private:
  unique_fd fd_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
};

/// The journal of a run that another process appends to, from where we stopped reading.
class journal_tail {
 public:
  explicit journal_tail(std::filesystem::path path) : path_(std::move(path)) {}

  /// Folds the whole lines that are new. False: there is no journal (any more).
  bool read(run::run_fold& fold) {
    const auto fd = open_file(path_, O_RDONLY);
    if (!fd || ::lseek(fd->get(), offset_, SEEK_SET) < 0) return false;
    const auto bytes = read_fd(fd->get());
    if (!bytes) return false;
    std::string_view rest = *bytes;
    for (std::size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      apply(fold, rest.substr(0, end));
      offset_ += static_cast<off_t>(end + 1);
    }
    return true;
  }

 private:
  /// Whether a record is sound is for recovery to ask; a line that cannot be read is not shown.
  static void apply(run::run_fold& fold, std::string_view line) {
    boost::system::error_code ec;
    json::value v = json::parse(line, ec);
    if (ec || !v.is_object()) return;
    const json::object& o = v.get_object();
    const auto seq = static_cast<run::sequence>(json_integer(o, "seq"));
    if (seq <= fold.last) return;
    fold.apply({seq, json_text(o, "t"), json_text(o, "type"), o});
  }

  std::filesystem::path path_;
  off_t offset_ = 0;
};

class follower {
 public:
  follower(session& s, const task_in_repository& t, const run::plan& plan, const log_options& o)
      : s_(s), where_(t), plan_(plan), options_(o) {}

  result<int> run();

 private:
  result<void> print(const run::task_fold& task, bool over);
  result<void> more(const run::attempt_fold& a, bool over);
  bool is_over(const run::task_fold& task) const;

  session& s_;
  const task_in_repository& where_;
  const run::plan& plan_;
  const log_options& options_;
  std::optional<attempt_log> log_;
  std::size_t done_ = 0;  ///< attempts that are printed to their ends
};

bool follower::is_over(const run::task_fold& task) const {
  if (task.has_ended()) return true;
  for (const run::attempt_fold& a : task.attempts)
    if (a.number.value() == options_.attempt) return !a.ended.empty();
  return false;
}

result<void> follower::more(const run::attempt_fold& a, bool over) {
  if (!log_) {
    REMORA_TRY(const agent::adapter* adapter, adapter_of(plan_, a));
    log_.emplace(s_, where_, a, adapter, options_.raw);
  }
  auto bytes = read_output(where_, a.number, log_->taken());
  if (!bytes && over) {  // the run has ended, and its directory is gone
    REMORA_TRY(const std::string all, read_transcript(where_, a.number));
    bytes = all.size() > log_->taken() ? all.substr(log_->taken()) : std::string();
  }
  if (bytes) log_->feed(*bytes);  // it may not have been made yet
  return {};
}

result<void> follower::print(const run::task_fold& task, bool over) {
  for (; done_ < task.attempts.size(); ++done_) {
    const run::attempt_fold& a = task.attempts[done_];
    if (options_.attempt != 0 && a.number.value() != options_.attempt) continue;
    const bool ended = over || !a.ended.empty();
    REMORA_CHECK(more(a, ended));
    if (!ended) return {};
    log_->finish();
    log_.reset();
  }
  return {};
}

result<int> follower::run() {
  const run::run_layout layout(where_.repo.common_dir(), where_.what.run);
  watch changes;
  journal_tail journal(layout.journal());
  run::run_fold fold;
  for (;;) {
    changes.add(layout.root);
    if (const auto known = fold.tasks.find(where_.task.str()); known != fold.tasks.end())
      for (std::size_t i = done_; i < known->second.attempts.size(); ++i)
        changes.add(layout.attempt(
            fmt::format("{}.{}", where_.task.str(), known->second.attempts[i].number.value())));
    // Asked before reading: what is written later is read in the next round.
    const bool live = run::is_live(layout);
    const std::size_t attempts = fold.tasks[where_.task.str()].attempts.size();
    if (!journal.read(fold)) {
      REMORA_TRY(const run::run_view recorded, run::load_run(where_.repo, where_.what.run));
      fold = recorded.fold;
    }
    const run::task_fold& task = fold.tasks.at(where_.task.str());
    const bool over = !live || is_over(task);
    REMORA_CHECK(print(task, over));
    s_.out.flush();
    if (over || !s_.out) break;
    if (task.attempts.size() == attempts) changes.wait();  // else: watch the new one first
  }
  const auto& attempts = fold.tasks.at(where_.task.str()).attempts;
  const bool came = std::ranges::any_of(
      attempts, [&](const auto& a) { return a.number.value() == options_.attempt; });
  if (options_.attempt != 0 && !came)
    return fail(errc::no_match, fmt::format("task '{}' has no attempt {}; it has {}",
                                            where_.task.str(), options_.attempt, attempts.size()));
  return 0;
}

}  // namespace

result<int> follow_log(session& s, const task_in_repository& t, const run::plan& plan,
                       const log_options& o) {
  return follower(s, t, plan, o).run();
}

}  // namespace remora::front

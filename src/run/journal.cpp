#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/json.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <remora/core/crc32c.hpp>
#include <remora/core/plant.hpp>
#include <remora/core/posix.hpp>
#include <remora/io/condition.hpp>
#include <remora/run/journal.hpp>
#include <thread>

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

class file_on_disk final : public journal_file {
 public:
  file_on_disk(unique_fd fd, std::filesystem::path path, std::uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  result<void> append(std::string_view bytes) override {
    struct stat st{};
    const bool removed = ::fstat(fd_.get(), &st) == 0 && st.st_nlink == 0;
    if (removed && !planted("generation-check"))  // who would ever read it? (F10)
      return fail(errc::environment,
                  fmt::format("{} was removed while the run went on: this remora ends, 'remora "
                              "resume' makes it anew of what git has",
                              path_.string()));
    auto written = write_all(fd_.get(), bytes);
    if (!written) {
      // Half a line must not stay: the next one would be glued to it.
      if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0)
        return within(
            fmt::format("cannot append to {}, nor take back what half was written", path_.string()),
            written.error());
      return within("cannot append to " + path_.string(), written.error());
    }
    size_ += bytes.size();
    return {};
  }

  result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return os_error(errno, "cannot sync " + path_.string());
    return {};
  }

 private:
  unique_fd fd_;
  std::filesystem::path path_;
  std::uint64_t size_;
};

class guarded_file final : public journal_file {
 public:
  guarded_file(std::unique_ptr<journal_file> file, std::function<result<void>()> check)
      : file_(std::move(file)), check_(std::move(check)) {}

  result<void> append(std::string_view bytes) override {
    if (!planted("generation-check")) REMORA_CHECK(check_());
    return file_->append(bytes);
  }
  result<void> sync() override { return file_->sync(); }

 private:
  std::unique_ptr<journal_file> file_;
  std::function<result<void>()> check_;
};

class commit_thread final : public committer {
 public:
  void start(std::function<void()> commit) override {
    commit_ = std::move(commit);
    thread_ = std::thread([this] { work(); });
  }

  void wake() override {
    {
      const std::lock_guard lock(mutex_);
      pending_ = true;
    }
    changed_.notify_one();
  }

  void stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return pending_ || stopping_; });
      if (!pending_) return;
      pending_ = false;
      lock.unlock();
      commit_();
    }
  }

  std::function<void()> commit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool pending_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<committer> make_commit_thread() {
  return std::make_unique<commit_thread>();
}

std::unique_ptr<journal_file> guarded(std::unique_ptr<journal_file> file,
                                      std::function<result<void>()> check) {
  return std::make_unique<guarded_file>(std::move(file), std::move(check));
}

result<std::unique_ptr<journal_file>> open_journal_file(const std::filesystem::path& path,
                                                        std::uint64_t valid_bytes) {
  REMORA_TRY(unique_fd fd, open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  if (::ftruncate(fd.get(), static_cast<off_t>(valid_bytes)) != 0)
    return os_error(errno, "cannot cut the journal's torn tail");
  if (::fsync(fd.get()) != 0) return os_error(errno, "cannot sync " + path.string());
  REMORA_CHECK(sync_directory(path.parent_path()));
  return std::unique_ptr<journal_file>(
      std::make_unique<file_on_disk>(std::move(fd), path, valid_bytes));
}

std::string journal_line(const record& r, std::int64_t mono_ns, std::string_view boot,
                         sequence synced) {
  const std::string payload = json::serialize(r.payload);
  const std::string_view members = std::string_view(payload).substr(1, payload.size() - 2);
  std::string line =
      fmt::format(R"({{"seq":{},"t":"{}","mono_ns":{},"boot":"{}","type":"{}"{}{},"synced":{})",
                  r.seq, r.t, mono_ns, boot, r.type, members.empty() ? "" : ",", members, synced);
  fmt::format_to(std::back_inserter(line), ",\"crc\":\"{:08x}\"}}\n", crc32c(line));
  return line;
}

/// Shared by the loop and whoever commits. A commit takes all that is pending, writes it once and
/// syncs it once (group commit), then tells the loop how far it got.
struct journal::impl : std::enable_shared_from_this<journal::impl> {
  impl(asio::any_io_executor executor, std::unique_ptr<journal_file> f, clock& c, sequence n,
       std::unique_ptr<committer> when, std::string machine)
      : loop(std::move(executor)),
        file(std::move(f)),
        time(c),
        boot(std::move(machine)),
        next(n),
        durable(n - 1),
        changed(loop),
        commits(std::move(when)) {}

  void commit_pending();
  std::optional<error> commit(const std::string& bytes);
  void committed(sequence last, const std::optional<error>& failure);

  asio::any_io_executor loop;
  std::unique_ptr<journal_file> file;
  clock& time;
  std::string boot;

  // the loop's
  sequence next;
  sequence durable;
  std::optional<error> failed;
  std::function<void(error)> told;
  io::condition changed;  ///< of `durable` or `failed`

  // both
  std::mutex mutex;
  std::string batch;
  sequence batch_last = 0;

  // whoever commits
  std::optional<error> broken;
  std::unique_ptr<committer> commits;
};

void journal::impl::commit_pending() {
  std::unique_lock lock(mutex);
  if (batch.empty()) return;
  const std::string bytes = std::exchange(batch, {});
  const sequence last = batch_last;
  lock.unlock();
  if (!broken) broken = commit(bytes);
  asio::post(loop, [self = shared_from_this(), last, failure = broken] {
    self->committed(last, failure);
  });
}

std::optional<error> journal::impl::commit(const std::string& bytes) {
  if (auto appended = file->append(bytes); !appended) return appended.error();
  if (planted("journal-sync")) return std::nullopt;
  if (auto synced = file->sync(); !synced) return synced.error();
  return std::nullopt;
}

void journal::impl::committed(sequence last, const std::optional<error>& failure) {
  if (failure) {
    const bool first = !failed;
    failed = failure;
    if (first && told) told(*failure);
  } else {
    durable = last;
  }
  changed.notify();
}

journal::journal(asio::any_io_executor loop, std::unique_ptr<journal_file> file, clock& time,
                 sequence next, std::unique_ptr<committer> commits, std::string boot)
    : impl_(std::make_shared<impl>(std::move(loop), std::move(file), time, next,
                                   commits ? std::move(commits) : make_commit_thread(),
                                   std::move(boot))) {
  impl_->commits->start([p = impl_.get()] { p->commit_pending(); });
}

journal::~journal() {
  impl_->told = nullptr;
  impl_->commits->stop();
}

record journal::append(std::string type, json::object payload) {
  record r{impl_->next++, iso8601(impl_->time.wall()), std::move(type), std::move(payload),
           impl_->boot};
  const std::int64_t mono = std::chrono::nanoseconds(impl_->time.now().time_since_epoch()).count();
  const std::string line = journal_line(r, mono, impl_->boot, impl_->durable);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->batch += line;
    impl_->batch_last = r.seq;
  }
  impl_->commits->wake();
  return r;
}

void journal::on_failure(std::function<void(error)> told) {
  impl_->told = std::move(told);
}

asio::awaitable<result<void>> journal::durable(sequence seq) {
  const std::shared_ptr<impl> self = impl_;
  while (!self->failed && self->durable < seq) co_await self->changed.wait();
  if (self->failed) co_return *self->failed;
  co_return result<void>();
}

}  // namespace remora::run

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <remora/core/crc32c.hpp>
#include <remora/core/plant.hpp>
#include <remora/core/posix.hpp>
#include <remora/run/journal.hpp>
#include <thread>

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

class file_on_disk final : public journal_file {
 public:
  file_on_disk(unique_fd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}

  result<void> append(std::string_view bytes) override {
    auto written = write_all(fd_.get(), bytes);
    if (!written) {
      // Half a line must not stay: the next one would be glued to it.
      if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0)
        return os_error(errno, "cannot take back half a journal record");
      return within("cannot append to the journal", written.error());
    }
    size_ += bytes.size();
    return {};
  }

  result<void> sync() override {
    if (planted("journal-sync")) return {};
    if (::fdatasync(fd_.get()) != 0) return os_error(errno, "cannot sync the journal");
    return {};
  }

 private:
  unique_fd fd_;
  std::uint64_t size_;
};

class guarded_file final : public journal_file {
 public:
  guarded_file(std::unique_ptr<journal_file> file, std::function<result<void>()> check)
      : file_(std::move(file)), check_(std::move(check)) {}

  result<void> append(std::string_view bytes) override {
    REMORA_CHECK(check_());
    return file_->append(bytes);
  }
  result<void> sync() override { return file_->sync(); }

 private:
  std::unique_ptr<journal_file> file_;
  std::function<result<void>()> check_;
};

}  // namespace

std::unique_ptr<journal_file> guarded(std::unique_ptr<journal_file> file,
                                      std::function<result<void>()> check) {
  return std::make_unique<guarded_file>(std::move(file), std::move(check));
}

result<std::unique_ptr<journal_file>> open_journal_file(const std::filesystem::path& path,
                                                        std::uint64_t valid_bytes) {
  REMORA_TRY(unique_fd fd, open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  if (::ftruncate(fd.get(), static_cast<off_t>(valid_bytes)) != 0)
    return os_error(errno, "cannot cut the journal's torn tail");
  if (::fsync(fd.get()) != 0) return os_error(errno, "cannot sync the journal");
  REMORA_CHECK(sync_directory(path.parent_path()));
  return std::unique_ptr<journal_file>(std::make_unique<file_on_disk>(std::move(fd), valid_bytes));
}

std::string journal_line(const record& r, std::int64_t mono_ns, std::string_view boot,
                         sequence synced) {
  json::object o{
      {"seq", r.seq}, {"t", r.t}, {"mono_ns", mono_ns}, {"boot", boot}, {"type", r.type}};
  for (const auto& [key, value] : r.payload) o[key] = value;
  o["synced"] = synced;
  std::string line = json::serialize(o);
  line.pop_back();  // the closing brace comes after the checksum
  return fmt::format("{},\"crc\":\"{:08x}\"}}\n", line, crc32c(line));
}

/// Shared by the loop and the journal's thread. The thread takes all that is pending, writes it
/// once and syncs it once (group commit), then tells the loop how far it got.
struct journal::impl : std::enable_shared_from_this<journal::impl> {
  impl(asio::any_io_executor executor, std::unique_ptr<journal_file> f, clock& c, sequence n)
      : loop(std::move(executor)),
        file(std::move(f)),
        time(c),
        next(n),
        durable(n - 1),
        wake(loop, asio::steady_timer::time_point::max()) {}

  void work();
  std::optional<error> commit(const std::string& batch);

  asio::any_io_executor loop;
  std::unique_ptr<journal_file> file;
  clock& time;

  // the loop's
  sequence next;
  sequence durable;
  std::optional<error> failed;
  std::function<void(error)> told;
  asio::steady_timer wake;  ///< never expires: cancelled whenever `durable` or `failed` changes

  // both
  std::mutex mutex;
  std::condition_variable pending;
  std::string batch;
  sequence batch_last = 0;
  bool closing = false;

  std::thread thread;
};

void journal::impl::work() {
  std::optional<error> broken;
  for (;;) {
    std::unique_lock lock(mutex);
    pending.wait(lock, [&] { return closing || !batch.empty(); });
    if (batch.empty()) return;
    const std::string bytes = std::exchange(batch, {});
    const sequence last = batch_last;
    lock.unlock();
    if (!broken) broken = commit(bytes);
    asio::post(loop, [self = shared_from_this(), last, broken] {
      if (broken) {
        const bool first = !self->failed;
        self->failed = broken;
        if (first && self->told) self->told(*broken);
      } else {
        self->durable = last;
      }
      self->wake.cancel();
    });
  }
}

std::optional<error> journal::impl::commit(const std::string& bytes) {
  if (auto appended = file->append(bytes); !appended) return appended.error();
  if (auto synced = file->sync(); !synced) return synced.error();
  return std::nullopt;
}

journal::journal(asio::any_io_executor loop, std::unique_ptr<journal_file> file, clock& time,
                 sequence next)
    : impl_(std::make_shared<impl>(std::move(loop), std::move(file), time, next)) {
  impl_->thread = std::thread([p = impl_.get()] { p->work(); });
}

journal::~journal() {
  impl_->told = nullptr;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  impl_->pending.notify_one();
  impl_->thread.join();
}

record journal::append(std::string type, json::object payload) {
  record r{impl_->next++, iso8601(impl_->time.wall()), std::move(type), std::move(payload)};
  const std::int64_t mono = std::chrono::nanoseconds(impl_->time.now().time_since_epoch()).count();
  const std::string line = journal_line(r, mono, boot_id(), impl_->durable);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->batch += line;
    impl_->batch_last = r.seq;
  }
  impl_->pending.notify_one();
  return r;
}

void journal::on_failure(std::function<void(error)> told) {
  impl_->told = std::move(told);
}

asio::awaitable<result<void>> journal::durable(sequence seq) {
  const std::shared_ptr<impl> self = impl_;
  while (!self->failed && self->durable < seq) {
    co_await self->wake.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  if (self->failed) co_return *self->failed;
  co_return result<void>();
}

}  // namespace remora::run

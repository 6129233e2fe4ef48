// A live run's append-only log (docs/journal.md): one JSON object a line with `seq`,
// `t`, `mono_ns`, `boot`, `type`, the payload, `synced` and `crc`. Everything in memory is a fold
// of it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <remora/core/clock.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/result.hpp>
#include <string>
#include <vector>

namespace remora::run {

/// The seam: where the bytes go. Thread: the journal's own, one call at a time.
class journal_file {
 public:
  virtual ~journal_file() = default;
  /// All of it, or nothing: a short write is truncated back. Errors: errno; then the journal is
  /// closed for good.
  virtual result<void> append(std::string_view bytes) = 0;
  /// fdatasync. An error is never retried and believed (F4).
  virtual result<void> sync() = 0;
};

/// Opens for appending at `valid_bytes` (what `read_journal` found good): the rest is cut off.
result<std::unique_ptr<journal_file>> open_journal_file(const std::filesystem::path& path,
                                                        std::uint64_t valid_bytes);

/// `file`, as long as `check` allows it: asked before every append, on the journal's thread.
std::unique_ptr<journal_file> guarded(std::unique_ptr<journal_file> file,
                                      std::function<result<void>()> check);

/// The seam: when the journal writes. Thread: the loop's, but for `commit` itself.
class committer {
 public:
  virtual ~committer() = default;
  /// Called once, before all else. `commit` appends and syncs what is pending, and tells the loop;
  /// it is called by one thread at a time.
  virtual void start(std::function<void()> commit) = 0;
  /// Something is pending. Never blocks.
  virtual void wake() = 0;
  /// Commits what is pending; returns when `commit` is not called any more.
  virtual void stop() = 0;
};
/// A thread of its own: what comes while it syncs is committed together afterwards.
std::unique_ptr<committer> make_commit_thread();

using sequence = std::uint64_t;

/// One record, as observers and folds see it.
struct record {
  sequence seq = 0;
  std::string t;
  std::string type;
  boost::json::object payload;
  std::string boot{};  ///< of the machine that wrote it
};

class journal {
 public:
  /// `next`: the first sequence number to give. `commits`: nothing for a thread of its own.
  journal(boost::asio::any_io_executor loop, std::unique_ptr<journal_file> file, clock& time,
          sequence next = 1, std::unique_ptr<committer> commits = nullptr,
          std::string boot = boot_id());
  /// Writes what was appended.
  ~journal();
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  /// Queues a record; its sequence number is its place. Never blocks. Thread: the loop's.
  record append(std::string type, boost::json::object payload);
  /// Resumes once everything up to `seq` is durable: nothing that depends on a record starts
  /// before. Errors: the write's or sync's; the journal is then closed, and every later call says
  /// so.
  boost::asio::awaitable<result<void>> durable(sequence seq);
  /// Told once, on the loop, when the journal is closed by an error.
  void on_failure(std::function<void(error)> told);

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

/// What a journal begins with: `schema` of `run_started`. A reader refuses another one.
inline constexpr std::string_view run_schema = "remora.run/1";

struct journal_contents {
  std::vector<record> records;
  std::uint64_t valid_bytes = 0;
  std::uint64_t dropped_bytes = 0;  ///< of a torn tail that had never been acknowledged
};

/// A bad stretch is a tail, and dropped, unless a later good record says that it had been synced:
/// then it is refused with the line's number. Errors: errc::corrupt; errc::unsupported (of a newer
/// version, which is not read further); errc::no_match (no such file).
result<journal_contents> read_journal(const std::filesystem::path& path);
/// The first record alone; nothing where no whole line was ever written: such a run never began.
/// Errors: as `read_journal`.
result<std::optional<record>> read_journal_head(const std::filesystem::path& path);
/// The same for bytes that are at hand; `name` is for messages.
result<journal_contents> parse_journal(std::string_view bytes, const std::string& name);
result<std::optional<record>> parse_journal_head(std::string_view bytes, const std::string& name);

/// One line, with its newline. For tests, and for the journal itself.
std::string journal_line(const record& r, std::int64_t mono_ns, std::string_view boot,
                         sequence synced);

}  // namespace remora::run

#include <remora/run/run_lock.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/plant.hpp>
#include <remora/core/text.hpp>
#include <remora/run/journal.hpp>

namespace remora::run {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

constexpr std::string_view lock_schema = "remora.lock/1";
constexpr std::size_t most_text = 4096;
constexpr const char* new_directory = "new-";  // and six letters: no run's id

// Locks of the open file, not flock: these can be asked for without being taken, so a look at a run
// never keeps `resume` out.
struct flock whole_file() {
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  return range;
}

bool lock_file(int fd) {
  struct flock range = whole_file();
  return ::fcntl(fd, F_OFD_SETLK, &range) == 0;
}

bool is_held(int fd) {
  struct flock query = whole_file();
  return ::fcntl(fd, F_OFD_GETLK, &query) == 0 && query.l_type != F_UNLCK;
}

std::string to_text(const lock_holder& h) {
  return json::serialize(json::object{{"schema", lock_schema},
                                      {"generation", h.generation},
                                      {"pid", h.who.pid},
                                      {"start_ticks", h.who.start_ticks},
                                      {"boot", h.who.boot},
                                      {"host", h.host},
                                      {"since", h.since},
                                      {"journal_shared", h.journal_shared}}) +
         '\n';
}

/// Nothing for what an owner was cut off in writing.
std::optional<lock_holder> read_holder(int fd) {
  std::string text(most_text, '\0');
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  if (n <= 0) return std::nullopt;
  boost::system::error_code ec;
  const json::value v =
      json::parse(std::string_view(text).substr(0, static_cast<std::size_t>(n)), ec);
  if (ec || !v.is_object()) return std::nullopt;
  const json::object& o = v.get_object();
  if (json_text(o, "schema") != lock_schema) return std::nullopt;
  lock_holder h;
  h.generation = json_integer<std::uint64_t>(o, "generation");
  h.who = {json_integer<int>(o, "pid"), json_integer<std::uint64_t>(o, "start_ticks"),
           json_text(o, "boot")};
  h.host = json_text(o, "host");
  h.since = json_text(o, "since");
  h.journal_shared = json_flag(o, "journal_shared");
  return h;
}

/// Of one that holds the lock. A process that is not to be seen here holds it elsewhere.
holder_life life_of(const std::optional<lock_holder>& holder) {
  if (!holder || holder->host != host_name()) return holder_life::unknown;
  switch (process::life_of(holder->who)) {
    case process::life::stopped:
      return holder_life::stopped;
    case process::life::running:
      return holder_life::running;
    case process::life::gone:
    case process::life::unknown:
      break;
  }
  return holder_life::unknown;
}

lock_look look_at(int fd) {
  lock_look look;
  look.held = is_held(fd);
  look.holder = read_holder(fd);
  if (look.held) look.life = life_of(look.holder);
  return look;
}

error held_by(const run_layout& layout, const lock_look& look) {
  const std::string run = layout.root.filename().string();
  const std::string who = look.holder ? look.holder->text() : "another remora";
  if (look.life == holder_life::stopped)
    return fail(errc::held,
                fmt::format("run {} is held by {}, which is stopped: 'kill -CONT {}' "
                            "lets it go on, 'remora doctor --fix' takes the run from it",
                            run, who, look.holder->who.pid));
  return fail(errc::held,
              fmt::format("run {} is being worked on by {}; end it, or wait for it", run, who));
}

bool same_file(int fd, const fs::path& path) {
  struct stat held{}, there{};
  return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
         held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

struct unnamed {
  fs::path path;
  unique_fd lock;
};

/// A directory beside the runs with a lock that we hold; nothing: a sweep was faster.
result<std::optional<unnamed>> make_unnamed(const fs::path& runs) {
  std::string path = (runs / new_directory).string() + "XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return os_error(errno, "cannot make " + path);
  auto fd = open_file(fs::path(path) / "lock", O_RDWR | O_CREAT, 0600);
  if (fd && lock_file(fd->get())) return std::optional(unnamed{path, std::move(*fd)});
  if (fd || fd.error().is_errno(ENOENT)) return std::optional<unnamed>();
  return fd.error();
}

result<void> write_holder(int fd, std::uint64_t generation, bool journal_shared) {
  const std::string text = to_text({.generation = generation,
                                    .who = process::own_identity(),
                                    .host = host_name(),
                                    .since = iso8601(machine_clock().wall()),
                                    .journal_shared = journal_shared});
  const ssize_t n = ::pwrite(fd, text.data(), text.size(), 0);
  if (n < 0) return os_error(errno, "cannot write the run's lock");
  // Longer than the text only where the last owner's was.
  if (static_cast<std::size_t>(n) != text.size() ||
      ::ftruncate(fd, static_cast<off_t>(text.size())) != 0)
    return os_error(ENOSPC, "cannot write the run's lock");
  return {};
}

/// The same records in another file: what the old owner was about to append goes to one that
/// nobody reads.
result<void> renew_journal(const run_layout& layout) {
  const auto text = read_file(layout.journal());
  if (!text && text.error().is_errno(ENOENT)) return {};
  if (!text) return text.error();
  return write_file_durably(layout.journal(), *text);
}

}  // namespace

std::string lock_holder::text() const {
  return fmt::format("process {} on {} since {}", who.pid, printable(host), printable(since));
}

lock_look look_at_lock(const run_layout& layout) {
  const auto fd = open_file(layout.lock(), O_RDONLY);
  return fd ? look_at(fd->get()) : lock_look();
}

bool is_live(const run_layout& layout) {
  const auto fd = open_file(layout.lock(), O_RDONLY);
  return fd && is_held(fd->get());
}

void sweep_unnamed(const fs::path& runs) {
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(runs, ec)) {
    if (!entry.path().filename().string().starts_with(new_directory)) continue;
    const auto fd = open_file(entry.path() / "lock", O_RDWR);
    const bool nobodys = fd ? lock_file(fd->get()) : fd.error().is_errno(ENOENT);
    std::error_code ignored;
    if (nobodys) fs::remove_all(entry.path(), ignored);
  }
}

/// `fd`: held, and at the lock's path or about to be.
result<run_lock> run_lock::claim(unique_fd fd, const run_layout& layout, std::uint64_t generation) {
  REMORA_CHECK(write_holder(fd.get(), generation, false));
  return run_lock(std::move(fd), layout.lock(), generation);
}

/// After an owner that is gone. One that died before it had the journal for itself leaves that to
/// the next.
result<run_lock> run_lock::follow(unique_fd fd, const run_layout& layout) {
  const auto before = read_holder(fd.get());
  if (before && before->journal_shared && same_file(fd.get(), layout.lock()))
    REMORA_CHECK(renew_journal(layout));
  return claim(std::move(fd), layout, before ? before->generation + 1 : 1);
}

/// A new run's directory appears with its lock held: whoever sweeps must not take it for one that
/// its owner has left. Nothing: it is there already.
result<std::optional<run_lock>> run_lock::make(const run_layout& layout) {
  std::error_code ec;
  if (fs::exists(layout.root, ec)) return std::optional<run_lock>();
  const fs::path runs = layout.root.parent_path();
  REMORA_CHECK(make_directories(runs));
  std::optional<unnamed> made;
  while (!made) {  // a sweep is once at a start: nobody is faster for long
    REMORA_TRY(made, make_unnamed(runs));
  }
  auto lock = claim(std::move(made->lock), layout, 1);
  if (lock && ::rename(made->path.c_str(), layout.root.c_str()) == 0) {
    REMORA_CHECK(sync_directory(runs));
    return std::optional(std::move(*lock));
  }
  const int why = errno;
  fs::remove_all(made->path, ec);
  if (!lock) return lock.error();
  if (why == EEXIST || why == ENOTEMPTY) return std::optional<run_lock>();
  return os_error(why, "cannot make " + layout.root.string());
}

result<run_lock> run_lock::take(const run_layout& layout) {
  REMORA_TRY(std::optional<run_lock> made, make(layout));
  if (made) return std::move(*made);
  REMORA_TRY(unique_fd fd, open_file(layout.lock(), O_RDWR | O_CREAT, 0600));
  if (!lock_file(fd.get())) return held_by(layout, look_at(fd.get()));
  REMORA_TRY(run_lock lock, follow(std::move(fd), layout));
  if (!lock.still_ours())
    return fail(errc::held, "the run's lock was replaced while it was taken; try again");
  return lock;
}

result<run_lock> run_lock::replace_stopped(const run_layout& layout) {
  // Of two that do this at once, the second looks only when the first has done it.
  REMORA_TRY(const unique_fd alone, open_file(layout.root, O_RDONLY | O_DIRECTORY));
  if (::flock(alone.get(), LOCK_EX) != 0) return os_error(errno, "cannot lock the run's directory");
  REMORA_TRY(unique_fd old, open_file(layout.lock(), O_RDWR));
  const bool gone = lock_file(old.get());
  const lock_look look = look_at(old.get());
  if (!same_file(old.get(), layout.lock()) || (!gone && look.life != holder_life::stopped))
    return held_by(layout, look);
  if (gone) return follow(std::move(old), layout);
  const std::uint64_t generation = look.holder ? look.holder->generation + 1 : 1;
  std::string next = layout.lock().string() + ".XXXXXX";
  unique_fd fd(::mkostemp(next.data(), O_CLOEXEC));
  if (!fd) return os_error(errno, fmt::format("cannot create {}", next));
  if (!lock_file(fd.get())) return os_error(errno, fmt::format("cannot lock {}", next));
  const auto written = write_holder(fd.get(), generation, true);
  if (!written || ::rename(next.c_str(), layout.lock().c_str()) != 0) {
    const int why = errno;
    ::unlink(next.c_str());
    return written ? os_error(why, "cannot replace the run's lock") : written.error();
  }
  REMORA_CHECK(sync_directory(layout.root));
  REMORA_CHECK(renew_journal(layout));
  return claim(std::move(fd), layout, generation);
}

bool run_lock::still_ours() const {
  return same_file(fd_.get(), path_);
}

result<void> run_lock::check() const {
  if (planted("generation-check") || still_ours()) return {};
  return fail(errc::held,
              fmt::format("the run's lock {} is gone or another orchestrator's; this one "
                          "ends and touches nothing more",
                          path_.string()));
}

bool run_lock::is_younger(const fs::path& file) const {
  struct stat ours{}, its{};
  if (::fstat(fd_.get(), &ours) != 0 || ::stat(file.c_str(), &its) != 0) return false;
  return std::pair(its.st_mtim.tv_sec, its.st_mtim.tv_nsec) >
         std::pair(ours.st_mtim.tv_sec, ours.st_mtim.tv_nsec);
}

}  // namespace remora::run

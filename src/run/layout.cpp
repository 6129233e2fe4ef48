#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <remora/checkpoint/record.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/crc32c.hpp>
#include <remora/core/text.hpp>
#include <remora/run/journal.hpp>
#include <remora/run/layout.hpp>

namespace remora::run {
namespace fs = std::filesystem;
namespace {

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

}  // namespace

run_layout::run_layout(const fs::path& common_dir, const run_id& run)
    : root(common_dir / "remora" / "runs" / run.str()) {}

result<run_lock> run_lock::take(const run_layout& layout) {
  REMORA_CHECK(make_directories(layout.root));
  REMORA_TRY(unique_fd fd, open_file(layout.lock(), O_RDWR | O_CREAT, 0600));
  if (!lock_file(fd.get())) {
    auto holder = read_fd(fd.get(), 4096);
    const std::string who = holder && !holder->empty() ? one_line(*holder, 200) : "another remora";
    return fail(errc::held,
                fmt::format("run {} is being worked on by {}; end it, or wait: remora watch {}",
                            layout.root.filename().string(), who, layout.root.filename().string()));
  }
  const std::string text =
      fmt::format("process {} since {}\n", ::getpid(), iso8601(machine_clock().wall()));
  if (::ftruncate(fd.get(), 0) != 0) return os_error(errno, "cannot write the run's lock");
  REMORA_CHECK(write_all(fd.get(), text));
  run_lock lock(std::move(fd), layout.lock());
  if (!lock.still_ours())
    return fail(errc::held, "the run's lock was replaced while it was taken; try again");
  return lock;
}

bool run_lock::still_ours() const {
  struct stat held{}, there{};
  return ::fstat(fd_.get(), &held) == 0 && ::stat(path_.c_str(), &there) == 0 &&
         held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

result<void> run_lock::check() const {
  if (still_ours()) return {};
  return fail(errc::held,
              fmt::format("the run's lock {} is gone or another orchestrator's; this one "
                          "ends and touches nothing more",
                          path_.string()));
}

bool is_live(const run_layout& layout) {
  const auto fd = open_file(layout.lock(), O_RDONLY);
  struct flock query = whole_file();
  return fd && ::fcntl(fd->get(), F_OFD_GETLK, &query) == 0 && query.l_type != F_UNLCK;
}

std::vector<std::string> sweep_runs(const git::repository& repo) {
  std::vector<std::string> swept;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(repo.common_dir() / "remora" / "runs", ec)) {
    const std::string name = entry.path().filename().string();
    const auto id = run_id::parse(name);
    if (!id) continue;
    const run_layout layout(repo.common_dir(), *id);
    const auto fd = open_file(layout.lock(), O_RDWR | O_CREAT);  // it may be gone already
    if (!fd || !lock_file(fd->get())) continue;
    const auto journal = read_journal(layout.journal());
    const bool begun = journal ? !journal->records.empty() : !journal.error().is(errc::no_match);
    if (begun) continue;
    fs::remove_all(layout.root, ec);
    if (!ec) swept.push_back(name);
  }
  return swept;
}

result<std::vector<std::string>> remove_ref_locks(const fs::path& common_dir, const run_id& run) {
  std::vector<std::string> removed;
  const auto remove = [&](const fs::path& lock) -> result<void> {
    if (::unlink(lock.c_str()) == 0)
      removed.push_back(lock.lexically_relative(common_dir).string());
    else if (errno != ENOENT)
      return os_error(errno, "cannot remove the stale " + lock.string());
    return {};
  };
  REMORA_CHECK(remove(common_dir / (checkpoint::run_ref(run) + ".lock")));
  for (const char* prefix : {"refs/remora/wip", "refs/heads/remora-wip"}) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(common_dir / prefix / run.str(), ec))
      if (entry.path().extension() == ".lock") REMORA_CHECK(remove(entry.path()));
  }
  return removed;
}

result<fs::path> slots_root(const git::repository& repo, const std::string& dir) {
  fs::path root;
  if (!dir.empty()) {
    root = fs::absolute(dir);
  } else {
    // The checksum keeps apart two repositories of the same name.
    const std::string name =
        fmt::format("{}-{:08x}", repo.name(), crc32c(repo.common_dir().string()));
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    if (state && *state == '/')
      root = fs::path(state) / "remora" / name / "slots";
    else if (home && *home == '/')
      root = fs::path(home) / ".local/state/remora" / name / "slots";
    else
      return fail(errc::environment,
                  "neither XDG_STATE_HOME nor HOME is set: remora does not know where worktrees "
                  "go; set workspace.dir");
  }
  const auto beneath = [&](const fs::path& top) {
    const fs::path relative =
        fs::weakly_canonical(root).lexically_relative(fs::weakly_canonical(top));
    return !relative.empty() && *relative.begin() != "..";
  };
  if (beneath(repo.common_dir()) || (repo.work_dir() && beneath(*repo.work_dir())))
    return fail(
        errc::usage,
        fmt::format(
            "{} is inside the repository; worktrees must be outside of it: set workspace.dir",
            root.string()));
  REMORA_CHECK(make_directories(root));
  return root;
}

result<unique_fd> hold_slots(const fs::path& root) {
  REMORA_TRY(unique_fd fd, open_file(root, O_RDONLY | O_DIRECTORY));
  if (::flock(fd.get(), LOCK_SH) != 0) return os_error(errno, "cannot lock " + root.string());
  return fd;
}

void sweep_slots(const fs::path& root) {
  const auto fd = open_file(root, O_RDONLY | O_DIRECTORY);
  if (!fd || ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return;
  std::error_code ec;
  for (const auto& slot : fs::directory_iterator(root, ec)) ::rmdir(slot.path().c_str());
}

result<fs::path> reserve_slot(const fs::path& root) {
  for (int n = 1;; ++n) {
    fs::path slot = root / std::to_string(n);
    if (::mkdir(slot.c_str(), 0700) == 0) return slot;
    if (errno != EEXIST)
      return os_error(errno, fmt::format("cannot make the slot {}", slot.string()));
  }
}

}  // namespace remora::run

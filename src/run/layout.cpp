#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <remora/core/clock.hpp>
#include <remora/core/crc32c.hpp>
#include <remora/core/text.hpp>
#include <remora/run/layout.hpp>

namespace remora::run {
namespace fs = std::filesystem;

run_layout::run_layout(const fs::path& common_dir, const run_id& run)
    : root(common_dir / "remora" / "runs" / run.str()) {}

result<run_lock> run_lock::take(const run_layout& layout) {
  REMORA_CHECK(make_directories(layout.root));
  REMORA_TRY(unique_fd fd, open_file(layout.lock(), O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
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

bool is_live(const run_layout& layout) {
  const auto fd = open_file(layout.lock(), O_RDONLY);
  if (!fd) return false;
  return ::flock(fd->get(), LOCK_SH | LOCK_NB) != 0;
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

result<fs::path> reserve_slot(const fs::path& root) {
  for (int n = 1;; ++n) {
    fs::path slot = root / std::to_string(n);
    if (::mkdir(slot.c_str(), 0700) == 0) return slot;
    if (errno != EEXIST)
      return os_error(errno, fmt::format("cannot make the slot {}", slot.string()));
  }
}

}  // namespace remora::run

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <remora/core/crc32c.hpp>
#include <remora/run/layout.hpp>

namespace remora::run {
namespace fs = std::filesystem;

run_layout::run_layout(const fs::path& common_dir, const run_id& run)
    : root(common_dir / "remora" / "runs" / run.str()) {}

std::vector<run_id> local_runs(const git::repository& repo, std::error_code* failed) {
  std::vector<run_id> runs;
  std::error_code ec;
  fs::directory_iterator at(repo.common_dir() / "remora" / "runs", ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec))
    if (auto id = run_id::parse(at->path().filename().string())) runs.push_back(std::move(*id));
  if (failed) *failed = ec;
  std::ranges::sort(runs);
  return runs;
}

bool same_place(const fs::path& a, const fs::path& b) {
  std::error_code ec;
  return !a.empty() && !b.empty() && fs::weakly_canonical(a, ec) == fs::weakly_canonical(b, ec);
}

fs::path state_directory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state && *state == '/') return fs::path(state) / "remora";
  const char* home = std::getenv("HOME");
  return home && *home == '/' ? fs::path(home) / ".local/state/remora" : fs::path();
}

result<fs::path> slots_path(const git::repository& repo, const std::string& dir) {
  fs::path root;
  if (!dir.empty()) {
    root = fs::absolute(dir);
  } else {
    // The checksum keeps apart two repositories of the same name.
    const std::string name =
        fmt::format("{}-{:08x}", repo.name(), crc32c(repo.common_dir().string()));
    const fs::path state = state_directory();
    if (state.empty())
      return fail(errc::environment,
                  "neither XDG_STATE_HOME nor HOME is set: remora does not know where worktrees "
                  "go; set workspace.dir");
    root = state / name / "slots";
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
  return root;
}

result<fs::path> slots_root(const git::repository& repo, const std::string& dir) {
  REMORA_TRY(fs::path root, slots_path(repo, dir));
  REMORA_CHECK(make_directories(root));
  return root;
}

result<unique_fd> hold_slots(const fs::path& root) {
  REMORA_TRY(unique_fd fd, open_file(root, O_RDONLY | O_DIRECTORY));
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return os_error(errno, "cannot lock " + root.string());
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

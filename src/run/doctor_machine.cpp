// The repository itself, the programs and the file systems.
#include <fmt/format.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <chrono>
#include <filesystem>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/git/command.hpp>
#include <remora/git/packs.hpp>
#include <remora/process/cgroups.hpp>
#include <remora/process/host.hpp>

#include "run/doctor_parts.hpp"

namespace remora::run {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds git_deadline{20};
constexpr std::uint64_t least_free_bytes = 256u << 20;
constexpr std::uint64_t least_free_files = 10'000;

void examine_git(const git::repository& repo, findings& found) {
  const auto asked = git::run_git(repo.common_dir(), {"rev-parse", "--git-dir"}, git_deadline);
  if (!asked)
    found.push_back({.kind = "program",
                     .subject = "git",
                     .text = asked.error().what + "; worktrees are made by it",
                     .remedy = "install git 2.31 or newer"});
  else if (!asked->status.success())
    found.push_back(
        {.kind = "repository",
         .subject = repo.common_dir().string(),
         .text = fmt::format("git refuses the repository, so no worktree can be made: {}",
                             one_line(asked->why(), 500)),
         .remedy = "do what git says"});
  if (const auto shim = process::find_shim(); !shim)
    found.push_back({.kind = "program",
                     .subject = "remora-shim",
                     .text = shim.error().what + "; no agent starts without it",
                     .remedy = "install remora-shim beside remora, or name it in REMORA_SHIM"});
  const auto extensions =
      git::run_git(repo.common_dir(), {"config", "--get-regexp", "^extensions\\."}, git_deadline);
  if (!extensions || !extensions->status.success()) return;
  for (const std::string_view line : split(trim(extensions->out), '\n'))
    found.push_back(
        {.kind = "extension",
         .subject = one_line(line, 200),
         .text = "the repository uses this extension of git's format; remora can read it",
         .remedy = "",
         .note = true});
}

/// Those of a plan for what an agent's processes may have together.
void examine_limits(findings& found) {
  for (const std::string& text :
       process::unenforceable_limits({.memory_bytes = 1u << 30, .processes = 1000}))
    found.push_back(
        {.kind = "limits", .subject = "limits", .text = text, .remedy = "", .note = true});
}

void examine_alternates(const git::repository& repo, findings& found) {
  const auto text = read_file(repo.common_dir() / "objects/info/alternates", 1 << 20);
  if (!text) return;
  for (const std::string_view line : split(trim(*text), '\n')) {
    if (line.empty() || line.front() == '#') continue;
    const fs::path where = repo.common_dir() / "objects" / std::string(line);
    std::error_code ec;
    const bool there = fs::is_directory(where, ec);
    found.push_back(
        {.kind = "alternates",
         .subject = to_utf8(where.string()),
         .text = there ? "objects of this repository are kept in another one: what is collected or "
                         "deleted there is gone here, checkpoints included"
                       : "objects of this repository are kept in another one, which is not there: "
                         "commits and checkpoints that need them cannot be read",
         .remedy = there ? "'git repack -a -d' and removing objects/info/alternates makes this "
                           "repository whole by itself"
                         : "bring that directory back, or fetch from another clone",
         .note = there});
  }
}

void examine_damaged_packs(const git::repository& repo, findings& found) {
  for (const git::damaged_pack& p : git::damaged_packs(repo)) {
    const std::string path = to_utf8(p.pack.string());
    found.push_back(
        {.kind = "damaged-pack",
         .subject = path,
         .text = fmt::format("a pack of remora's that was damaged, {} KiB with its index: what "
                             "could be read of it is in another pack, and nobody reads this one",
                             (p.bytes + 1023) >> 10),
         .remedy = fmt::format("--fix leaves it. Once nothing is missed any more, remove it: rm "
                               "-f '{}' '{}'",
                               path, to_utf8(fs::path(p.pack).replace_extension(".idx").string())),
         .note = true});
  }
}

struct known_file_system {
  long type;
  const char* name;
  const char* meaning;
};
// statfs(2). What a power cut leaves there is not what was synced.
constexpr const char* in_memory = "it is in memory: nothing on it survives a reboot or a power cut";
constexpr const char* on_network =
    "it is on a network: whether what was synced survives a power cut, and whether locks hold "
    "between machines, depends on the server";
constexpr known_file_system weak_file_systems[] = {
    {0x01021994, "tmpfs", in_memory}, {0x858458f6, "ramfs", in_memory},
    {0x6969, "nfs", on_network},      {0x517b, "smb", on_network},
    {0xff534d42, "cifs", on_network}, {0xfe534d42, "smb2", on_network},
    {0x01021997, "9p", on_network},   {0x00c36400, "ceph", on_network},
    {0x65735546, "fuse", on_network},
};

void examine_disk(const fs::path& where, const char* what, findings& found) {
  struct statvfs space{};
  struct statfs type{};
  if (::statvfs(where.c_str(), &space) != 0 || ::statfs(where.c_str(), &type) != 0) return;
  const std::uint64_t free_bytes = std::uint64_t{space.f_bavail} * space.f_frsize;
  const bool few_files = space.f_files > 0 && space.f_favail < least_free_files;
  if (free_bytes < least_free_bytes || few_files)
    found.push_back(
        {.kind = "disk-space",
         .subject = to_utf8(where.string()),
         .text = fmt::format("the disk of {} has {} MiB and {} files left: a checkpoint "
                             "that cannot be written is tried again, and not announced",
                             what, free_bytes >> 20, space.f_favail),
         .remedy = "make room: 'remora prune' removes old runs, 'git gc' packs objects"});
  for (const known_file_system& weak : weak_file_systems)
    if (static_cast<unsigned long>(type.f_type) == static_cast<unsigned long>(weak.type))
      found.push_back({.kind = "file-system",
                       .subject = to_utf8(where.string()),
                       .text = fmt::format("{} is on {}: {}", what, weak.name, weak.meaning),
                       .remedy = "",
                       .note = true});
  if (const auto synced = sync_directory(where); !synced)
    found.push_back({.kind = "file-system",
                     .subject = to_utf8(where.string()),
                     .text = synced.error().what + ": nothing can be made durable there",
                     .remedy = "keep the repository on a file system that can sync"});
}

/// The user's own, which agents' gits take as well. Whether somebody lives that holds one, nothing
/// says: an editor that `git commit` opened may be open for hours.
void examine_git_locks(const git::repository& repo, findings& found) {
  constexpr std::chrono::minutes longest_unremarkable{1};
  for (const char* name :
       {"index.lock", "HEAD.lock", "logs/HEAD.lock", "config.lock", "packed-refs.lock"}) {
    const fs::path lock = repo.common_dir() / name;
    std::error_code ec;
    const auto modified = fs::last_write_time(lock, ec);
    if (ec) continue;
    const auto age =
        std::chrono::floor<std::chrono::minutes>(fs::file_time_type::clock::now() - modified);
    if (age < longest_unremarkable) continue;
    found.push_back({.kind = "git-lock",
                     .subject = name,
                     .text = fmt::format("{} is {} minutes old: a git that was killed leaves such, "
                                         "and those that need it fail",
                                         to_utf8(lock.string()), age.count()),
                     .remedy = "if no git works in this repository, remove it"});
  }
}

}  // namespace

void examine_machine(git::repository& repo, findings& found) {
  examine_git(repo, found);
  examine_limits(found);
  examine_alternates(repo, found);
  examine_git_locks(repo, found);
  examine_damaged_packs(repo, found);
  examine_disk(repo.common_dir(), "the repository", found);
  const auto slots = slots_path(repo, "");
  if (!slots)
    found.push_back({.kind = "worktrees",
                     .subject = "worktrees",
                     .text = slots.error().what,
                     .remedy = "set HOME, XDG_STATE_HOME or workspace.dir"});
  else
    examine_disk(*slots, "the worktrees", found);
}

}  // namespace remora::run

// Removing what nothing reaches any more from our packs. Who might still come to name it is kept
// out in two ways: our own writers hold a lock from their first look for an object until a ref
// names it; another program's git, which finds an object and writes none, gives the pack its time.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <remora/core/text.hpp>
#include <remora/git/command.hpp>
#include <remora/git/packs.hpp>
#include <set>
#include <unordered_set>

#include "git/merge_packs.hpp"
#include "git/multi_pack_index.hpp"
#include "git/other_roots.hpp"
#include "git/repository_impl.hpp"
#include "git/stat_cache.hpp"
#include "git/wait.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;
using id_set = std::unordered_set<oid>;

/// Between the first object that a git does without and the ref or index that names it.
constexpr std::chrono::minutes longest_reliance{15};
constexpr std::chrono::minutes patience{5};
constexpr std::chrono::seconds longest_wait{2};
constexpr std::chrono::milliseconds between_tries{1};
constexpr std::uint64_t least_dead = 4;  ///< a pack with less than one in four bytes stays

struct old_pack {
  std::string stem;
  timespec time{};
  std::vector<pack_entry> entries;
};

/// Ours, but those that must stay whatever they hold. One that cannot be read stays, too.
std::vector<old_pack> list_candidates(const fs::path& directory) {
  const auto indexed = packs_in_multi_pack_index(directory);
  std::vector<old_pack> packs;
  for (our_files& files : list_our_packs(directory)) {
    if (!files.pack || !files.index || !files.keep || indexed.contains(files.stem)) continue;
    const auto times = read_pack_times(directory, files.stem);
    if (!times || (times->is_relied_on() && is_younger(times->now, longest_reliance))) continue;
    auto entries = list_entries(directory, files.stem);
    if (entries) packs.push_back({std::move(files.stem), times->now, std::move(*entries)});
  }
  return packs;
}

/// What git reaches from all refs, logs of refs and indexes and from `roots`, and not from `known`,
/// of what the packs hold. Without replacements (`git replace`): no git that prunes follows them.
result<id_set> reach(const repository& repo, const id_set& roots, const id_set& known,
                     const std::vector<old_pack>& packs, const std::stop_token& stop) {
  id_set asked;
  for (const old_pack& p : packs)
    for (const pack_entry& e : p.entries) asked.insert(e.id);
  std::string revisions;
  for (const oid& id : roots) revisions += id.hex() + '\n';
  for (const oid& id : known) revisions += '^' + id.hex() + '\n';
  REMORA_TRY(const unique_fd input, make_input(revisions));
  // Of a partial clone's objects only those that were fetched are there.
  REMORA_TRY(
      const command_output said,
      run_git(repo.common_dir(),
              {"--no-replace-objects", "rev-list", "--objects", "--no-object-names",
               "--missing=allow-promisor", "--all", "--reflog", "--indexed-objects", "--stdin"},
              patience, stop, nullptr, &input));
  if (!said.status.success())
    return fail(errc::repository, "git cannot read all that is reachable: " + said.why());
  id_set reached;
  for (const std::string_view line : split(said.out, '\n'))
    if (const auto id = oid::parse(line); id && asked.contains(*id)) reached.insert(*id);
  return reached;
}

using more_roots = std::function<result<std::vector<oid>>()>;

/// What refs name, and what is needed besides. Nothing: it cannot be known just now.
result<std::optional<id_set>> find_roots(const repository& repo, const more_roots& also,
                                         const std::stop_token& stop) {
  std::error_code ec;
  // Grafts hide parents, from this git and from none that prunes later.
  if (fs::exists(repo.common_dir() / "info" / "grafts", ec)) return std::optional<id_set>();
  REMORA_TRY(std::vector<oid> more, also());
  REMORA_TRY(const auto others, other_roots(repo.common_dir()));
  if (!others) return std::optional<id_set>();
  more.insert(more.end(), others->begin(), others->end());
  id_set found;
  for (const oid& id : more)
    if (repo.exists(id)) found.insert(id);
  REMORA_TRY(const command_output said,
             run_git(repo.common_dir(), {"rev-parse", "--all"}, patience, stop));
  if (!said.status.success())
    return fail(errc::repository, "git cannot list the refs: " + said.why());
  for (const std::string_view line : split(said.out, '\n'))
    if (const auto id = oid::parse(line)) found.insert(*id);
  return std::optional(std::move(found));
}

struct marks {
  id_set live;
  id_set seen;  ///< roots that were some all the time
};

result<std::optional<marks>> mark(const repository& repo, const more_roots& also,
                                  const std::vector<old_pack>& packs, const std::stop_token& stop) {
  REMORA_TRY(const auto before, find_roots(repo, also, stop));
  if (!before) return std::optional<marks>();
  marks m;
  REMORA_TRY(m.live, reach(repo, *before, {}, packs, stop));
  REMORA_TRY(auto after, find_roots(repo, also, stop));
  if (!after) return std::optional<marks>();
  std::erase_if(*after, [&](const oid& id) { return !before->contains(id); });
  m.seen = std::move(*after);
  return std::optional(std::move(m));
}

/// What has come to be reached since: of what was a root all the time, all is live. Nothing: it
/// cannot be known just now.
result<std::optional<id_set>> reached_since(const repository& repo, const more_roots& also,
                                            const marks& m, const std::vector<old_pack>& packs,
                                            const std::stop_token& stop) {
  REMORA_TRY(const auto now, find_roots(repo, also, stop));
  if (!now) return std::optional<id_set>();
  REMORA_TRY(id_set reached, reach(repo, *now, m.seen, packs, stop));
  return std::optional(std::move(reached));
}

bool is_worth_it(const old_pack& pack, const id_set& live) {
  std::uint64_t all = 0, dead = 0;
  for (const pack_entry& e : pack.entries) {
    all += e.packed;
    if (!live.contains(e.id)) dead += e.packed;
  }
  return dead > 0 && dead >= all / least_dead;
}

/// A new pack of what lives; nothing where nothing does. A pack that cannot be read stays.
result<std::optional<new_pack::published>> copy_live(const repository& repo,
                                                     const fs::path& directory,
                                                     std::vector<old_pack>& packs,
                                                     const id_set& live,
                                                     const std::stop_token& stop) {
  const auto lives = [&](const pack_entry& e) { return live.contains(e.id); };
  if (std::ranges::none_of(
          packs, [&](const old_pack& p) { return std::ranges::any_of(p.entries, lives); }))
    return std::optional<new_pack::published>();
  REMORA_TRY(pack_merger saved, pack_merger::begin(repo));
  std::set<std::string> missing;
  for (const old_pack& p : packs) {
    std::vector<pack_entry> entries = p.entries;
    std::erase_if(entries, std::not_fn(lives));
    if (entries.empty()) continue;
    REMORA_CHECK(saved.add(directory, p.stem, std::move(entries)));
    missing.insert(p.stem);
  }
  REMORA_CHECK(saved.run(stop));
  for (const std::string& stem : saved.merged()) missing.erase(stem);
  std::erase_if(packs, [&](const old_pack& p) { return missing.contains(p.stem); });
  if (saved.into().size() == 0) return std::optional<new_pack::published>();
  REMORA_TRY(new_pack::published made, saved.into().publish());
  return std::optional(std::move(made));
}

/// The pack's name goes first, by which a git gives it its time: whoever relied on it until then is
/// seen, and who comes later writes what he needs. Gives the bytes that are free again.
std::uint64_t take_away(const fs::path& directory, const old_pack& pack) {
  const fs::path path = pack_path(directory, pack.stem, ".pack");
  const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW);
  if (!fd || !take_hold(fd->get())) return 0;  // so that no sweep puts it back meanwhile
  const fs::path aside = pack_path(directory, pack.stem, aside_ending);
  struct stat st{};
  if (::rename(path.c_str(), aside.c_str()) != 0 || ::fstat(fd->get(), &st) != 0) return 0;
  if (!is_same(st.st_mtim, pack.time)) {
    ::rename(aside.c_str(), path.c_str());
    return 0;
  }
  ::unlink(aside.c_str());
  remove_pack(directory, pack.stem);
  return static_cast<std::uint64_t>(st.st_size);
}

/// Locks a directory against those who share it; false: somebody does, or it cannot be locked.
bool lock_alone(const unique_fd& directory) {
  return ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0;
}

/// Until nobody shares it, for as long as some checkpoints take: one that was stopped in the middle
/// of its own is not waited for.
bool await_alone(const unique_fd& directory, const std::stop_token& stop) {
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  while (!lock_alone(directory)) {
    if (stop.stop_requested() || std::chrono::steady_clock::now() >= until) return false;
    pause_for(between_tries);
  }
  return true;
}

result<std::optional<std::uint64_t>> take_dead_away(const repository& repo, const more_roots& also,
                                                    const marks& m, std::vector<old_pack> packs,
                                                    const std::stop_token& stop) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  // Nobody begins before those who are at it have ended: else there is always somebody.
  REMORA_TRY(const unique_fd door, open_file(repo.common_dir(), O_RDONLY | O_DIRECTORY));
  REMORA_TRY(const unique_fd writers,
             open_file(repo.common_dir() / "refs", O_RDONLY | O_DIRECTORY));
  if (!await_alone(door, stop) || !await_alone(writers, stop))
    return std::optional<std::uint64_t>();
  REMORA_TRY(const auto since, reached_since(repo, also, m, packs, stop));
  if (!since) return std::optional<std::uint64_t>();
  std::erase_if(packs, [&](const old_pack& p) {
    return std::ranges::any_of(p.entries, [&](const pack_entry& e) {
      return since->contains(e.id) && !m.live.contains(e.id);
    });
  });
  if (packs.empty()) return std::optional<std::uint64_t>(0);
  REMORA_CHECK(mark_removal(repo.common_dir()));
  const unique_fd alone = take_packs(directory);
  std::uint64_t freed = 0;
  for (const old_pack& p : packs) freed += take_away(directory, p);
  return std::optional(freed);
}

}  // namespace

result<void> mark_removal(const fs::path& common_dir) {
  const fs::path path = removal_mark(common_dir);
  REMORA_CHECK(make_directories(path.parent_path(), 0700));
  REMORA_TRY(const unique_fd fd, open_file(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const timespec both[] = {now, now};
  if (::futimens(fd.get(), both) != 0)
    return os_error(errno, "cannot set the time of " + path.string());
  return {};
}

std::int64_t last_removal(repository& repo) {
  return nanoseconds(repo.inside().removed);
}

result<unique_fd> hold_objects(repository& repo) {
  REMORA_TRY(const unique_fd door, open_file(repo.common_dir(), O_RDONLY | O_DIRECTORY));
  REMORA_TRY(unique_fd lock, open_file(repo.common_dir() / "refs", O_RDONLY | O_DIRECTORY));
  for (const unique_fd* fd : {&door, static_cast<const unique_fd*>(&lock)})
    while (::flock(fd->get(), LOCK_SH) != 0)
      if (errno != EINTR) break;  // a file system without locks: then nothing is taken away either
  REMORA_CHECK(let_go_of_gone_packs(repo.inside()));
  return lock;
}

result<std::optional<std::uint64_t>> remove_unreachable(repository& repo, const more_roots& also,
                                                        const std::stop_token& stop) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  REMORA_TRY(const unique_fd packs_held, open_file(directory, O_RDONLY | O_DIRECTORY));
  if (!lock_alone(packs_held)) return std::optional<std::uint64_t>();
  std::vector<old_pack> packs = list_candidates(directory);
  REMORA_TRY(const auto m, mark(repo, also, packs, stop));
  if (!m) return std::optional<std::uint64_t>();
  std::erase_if(packs, [&](const old_pack& p) { return !is_worth_it(p, m->live); });
  if (packs.empty()) return std::optional<std::uint64_t>(0);
  REMORA_TRY(const auto copied, copy_live(repo, directory, packs, m->live, stop));
  auto freed = take_dead_away(repo, also, *m, std::move(packs), stop);
  if (!copied) return freed;
  if (freed && *freed) {
    **freed -= std::min(**freed, copied->bytes);
  } else {  // it is all where it was
    const unique_fd alone = take_packs(directory);
    remove_pack(directory, copied->stem);
  }
  return freed;
}

}  // namespace remora::git

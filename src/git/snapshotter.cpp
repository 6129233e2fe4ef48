#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/git/left_out.hpp>
#include <remora/git/snapshot.hpp>

#include "git/gitdir_state.hpp"
#include "git/nested.hpp"
#include "git/scanner.hpp"
#include "git/submodule_files.hpp"
#include "git/tracked_anew.hpp"
#include "git/tree_watch.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_pointer_bytes = 8192;
constexpr unsigned told_in_a_row = 15;

class database final : public content_sink {
 public:
  explicit database(object_writer& objects)
      : objects_(objects), written_before_(objects.bytes_written()) {}

  result<oid> blob(std::string_view bytes) override { return objects_.blob(bytes); }
  result<oid> blob_from(int fd, std::uint64_t size) override {
    return objects_.blob_from(fd, size);
  }
  result<oid> tree(std::vector<tree_entry> entries) override {
    return objects_.tree(std::move(entries));
  }
  void trust(const oid& id) override { objects_.trust(id); }
  bool is_durable(const oid& id) const override { return objects_.is_durable(id); }
  void adopt(const oid& id) override { objects_.adopt(id); }
  std::uint64_t bytes_written() const override {
    return objects_.bytes_written() - written_before_;
  }

 private:
  object_writer& objects_;
  std::uint64_t written_before_;
};

error gone(const worktree& tree, std::string_view why) {
  return fail(errc::vanished, fmt::format("the worktree {} {}", to_utf8(tree.root.string()), why));
}

/// The root, if it still is the directory that it was when the worktree was made.
result<unique_fd> open_root(const worktree& tree, bool had_files) {
  auto root = open_file(tree.root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!root && !says_gone(root.error())) return root.error();
  if (!root) return gone(tree, "is gone");
  struct stat st{};
  if (::fstat(root->get(), &st) != 0) return os_error(errno, to_utf8(tree.root.string()));
  if (st.st_dev != tree.device || st.st_ino != tree.inode)
    return gone(tree, "was replaced by another directory");
  if (had_files && ::fstatat(root->get(), ".git", &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? gone(tree, "has lost its .git file") : os_error(errno, ".git");
  return root;
}

/// C2: an agent may point it at a repository of its own; nothing here follows it, but git would.
bool points_home(int root, const worktree& tree) {
  constexpr std::string_view key = "gitdir: ";
  const auto pointer = read_regular(root, ".git", max_pointer_bytes);
  if (!pointer || !pointer->starts_with(key)) return false;
  const std::string target(trim(std::string_view(*pointer).substr(key.size())));
  std::error_code ignored;
  return target == tree.git_dir.string() ||
         std::filesystem::equivalent(tree.root / target, tree.git_dir, ignored);
}

/// HEAD and index: what must not move during a walk.
struct position {
  head_reading head;
  file_identity index;
  bool operator==(const position& o) const {
    return head.bytes == o.head.bytes && head.head == o.head.head && index == o.index;
  }
};

position read_position(const repository& repo, int git_dir) {
  return {read_head(repo, git_dir), identity_at(git_dir, "index")};
}

result<index_state> compare_with_head(const repository& repo, const index_view& index,
                                      const oid& head) {
  if (head.is_zero()) return compare_with_tree(repo, index, oid());
  REMORA_TRY(const commit_info commit, repo.read_commit(head));
  return compare_with_tree(repo, index, commit.tree);
}

/// Between two snapshots.
struct memory {
  directory_ptr files;
  nested_cache submodules, nested;
};

}  // namespace

struct snapshotter::impl {
  worktree tree;
  oid base;
  snapshot_rules rules;
  ignore_list include;
  conversions convert;

  memory last;
  std::uint32_t number = 0;
  std::optional<index_view> index;
  position last_position;  ///< that `last_index` was made at
  std::optional<index_state> last_index;
  std::set<std::string> faults;  ///< paths that the last snapshot could not read

  std::unique_ptr<tree_watch> watch;     ///< null: nobody tells of changes
  bool trusted = false;                  ///< the last scan saw all that the watch had told by then
  unsigned told = 0;                     ///< scans since one that looked everywhere
  manifest found;                        ///< by the last scan, without what is no path's
  shared_rules shared;                   ///< of the last scan, as is the next
  std::optional<index_view> last_scans;  ///< index, if `index` is another one by now

  result<snapshot> take(const repository& repo, object_writer& objects, std::stop_token stop,
                        look where);
  bool is_described(const position& now) const { return last_index && last_position == now; }
  result<void> refresh_index(int git_dir, const position& now);
  std::optional<change_set> what_changed(look where, const shared_rules& now,
                                         const directory& known);
  result<scan_result> scan_once(const repository& repo, content_sink& sink, scan_rules how,
                                look where, const std::stop_token& stop, int root,
                                const directory_ptr& known);
  result<void> take_files(const repository& repo, content_sink& sink, scan_rules how, look where,
                          const std::stop_token& stop, int root, memory& known, snapshot& out);
  result<snapshot> scan(const repository& repo, object_writer& objects, std::stop_token stop,
                        look where, int root, int git_dir, memory& known);
  result<void> describe_index(const repository& repo, const position& now, snapshot& out);
  result<void> adopt_named(const repository& repo, object_writer& objects, snapshot& out) const;
};

/// Tens of thousands of entries are not parsed again for nothing.
result<void> snapshotter::impl::refresh_index(int git_dir, const position& now) {
  const bool same = index && index->known() && index->settled() && index->identity() == now.index;
  if (same && (index->file() || is_described(now))) return {};
  REMORA_TRY(index_view now_read, index_view::read(git_dir));
  last_scans = std::exchange(index, std::move(now_read));
  last_index.reset();
  return {};
}

result<void> snapshotter::impl::describe_index(const repository& repo, const position& now,
                                               snapshot& out) {
  if (!is_described(now)) {
    auto compared = compare_with_head(repo, *index, now.head.head.commit);
    if (!compared && !compared.error().is(errc::corrupt)) return compared.error();
    last_index = compared ? std::move(*compared) : index_state();
    if (!compared) last_index->note = "HEAD is damaged: " + compared.error().what;
    last_position = now;
  }
  out.index = *last_index;
  if (!now.head.readable && out.index.known) {
    out.index = {};
    out.index.note = "HEAD cannot be read, so the index has nothing to be compared with";
  }
  // An entry whose object is missing cannot be restored, and must not be named.
  std::size_t missing = 0;
  std::erase_if(out.index.entries, [&](const index_entry& e) {
    const bool lost = e.needs_object() && !repo.exists(e.id);
    missing += lost ? 1 : 0;
    return lost;
  });
  if (missing > 0)
    out.index.note = fmt::format("{} staged entries name objects that do not exist", missing);
  return {};
}

/// What the snapshot names and somebody else's git wrote, which does not sync.
result<void> snapshotter::impl::adopt_named(const repository& repo, object_writer& objects,
                                            snapshot& out) const {
  std::vector<oid> tips = operation_commits(out.operation);
  std::erase_if(tips, [&](const oid& id) { return !repo.read_commit(id); });
  tips.insert(tips.end(), out.stashes.begin(), out.stashes.end());
  if (!out.head.commit.is_zero()) tips.push_back(out.head.commit);
  for (const oid& tip : tips)
    if (tip != base && !objects.is_durable(tip)) {
      const auto adopted = objects.adopt_commits(tip, base);
      // One that cannot be read is not named: the checkpoint does without.
      if (!adopted && !adopted.error().is(errc::corrupt)) return adopted.error();
    }
  for (const index_entry& e : out.index.entries)
    if (e.has_blob() && !objects.is_durable(e.id) && repo.read_blob(e.id)) objects.adopt(e.id);
  return {};
}

/// Nothing: look everywhere.
std::optional<change_set> snapshotter::impl::what_changed(look where, const shared_rules& now,
                                                          const directory& known) {
  if (!watch) return std::nullopt;
  auto changed = watch->take();  // also where it is not used: it tells of what comes from now on
  if (where == look::everywhere || !trusted || now != shared || told >= told_in_a_row)
    changed.reset();
  if (changed && last_scans && !add_tracked_anew(*last_scans, *index, known, *changed))
    changed.reset();
  told = changed ? told + 1 : 0;
  return changed;
}

/// `trusted` again when it is done.
result<scan_result> snapshotter::impl::scan_once(const repository& repo, content_sink& sink,
                                                 scan_rules how, look where,
                                                 const std::stop_token& stop, int root,
                                                 const directory_ptr& known) {
  shared_rules now = shared_rules::read(repo);
  const std::optional<change_set> changed = what_changed(where, now, *known);
  trusted = false;
  how.ignore = &now;
  how.watch = watch.get();
  how.changed = changed ? &*changed : nullptr;
  how.last = &found;
  const auto walk = [&] {
    return scanner(repo, sink, *index, how, number + 1, stop).run(root, tree.git_dir, known);
  };
  REMORA_TRY(scan_result scanned, walk());
  if (how.changed && scanned.linked_anew) {  // what its other name is, nobody knows
    how.changed = nullptr;
    told = 0;
    REMORA_TRY(scanned, walk());
  }
  trusted = true;
  found = scanned.manifest;
  shared = std::move(now);
  last_scans.reset();
  return scanned;
}

/// What is there, twice if it may not all fit: what is small comes first then.
result<void> snapshotter::impl::take_files(const repository& repo, content_sink& sink,
                                           scan_rules how, look where, const std::stop_token& stop,
                                           int root, memory& known, snapshot& out) {
  const auto waits = [](const omission& o) { return o.reason == beyond_snapshot; };
  for (const bool takes_all : {false, true}) {
    how.takes_all = takes_all;
    REMORA_TRY(scan_result scanned, scan_once(repo, sink, how, takes_all ? look::everywhere : where,
                                              stop, root, known.files));
    known.files = scanned.root;
    out.manifest = std::move(scanned.manifest);
    out.files_scanned = scanned.files_scanned;
    out.files_read += scanned.files_read;
    REMORA_CHECK(take_submodules(repo, sink, root, tree.git_dir, how, number + 1, stop,
                                 known.submodules, out.manifest));
    REMORA_CHECK(take_nested(repo, sink, root, tree.git_dir, how, number + 1, stop, known.nested,
                             out.manifest));
    if (std::ranges::none_of(out.manifest.left_out, waits)) return {};
  }
  trusted = false;  // no event tells of what fits the next time
  return {};
}

result<snapshot> snapshotter::impl::scan(const repository& repo, object_writer& objects,
                                         std::stop_token stop, look where, int root, int git_dir,
                                         memory& known) {
  snapshot out;
  database sink(objects);
  scan_rules how;
  how.ignore = &shared;
  how.include = &include;
  how.convert = convert;
  how.max_file_bytes = rules.max_file_bytes;
  how.max_bytes = rules.max_bytes;
  how.faults = &faults;
  how.shared = rules.shared.get();
  constexpr int tries = 3;
  for (int i = 1;; ++i) {
    const position before = read_position(repo, git_dir);
    REMORA_CHECK(refresh_index(git_dir, before));
    REMORA_CHECK(take_files(repo, sink, how, where, stop, root, known, out));
    out.operation = read_operation(git_dir, out.manifest.left_out);
    const position after = read_position(repo, git_dir);
    const bool still = before == after && index->identity() == after.index;
    if (!still && i < tries) continue;
    out.manifest.head_torn = !still;
    out.head = before.head.head;
    for (const auto& [name, unread] :
         {std::pair{".git/HEAD", !before.head.readable}, {".git/index", index->unread()}})
      if (unread) out.manifest.left_out.push_back({name, std::string(unreadable)});
    REMORA_CHECK(describe_index(repo, before, out));
    index->release(rules.shared.get());
    return out;
  }
}

result<snapshot> snapshotter::impl::take(const repository& repo, object_writer& objects,
                                         std::stop_token stop, look where) {
  const bool had_files = last.files->size() > 0;
  REMORA_TRY(const unique_fd root, open_root(tree, had_files));
  const auto git_dir = open_file(tree.git_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!git_dir && !says_gone(git_dir.error())) return git_dir.error();
  if (!git_dir) return gone(tree, "has lost its git directory");

  memory known = last;
  REMORA_TRY(snapshot out,
             scan(repo, objects, std::move(stop), where, root.get(), git_dir->get(), known));
  // Removed while it was walked: what was seen is a part.
  if (auto still = open_root(tree, had_files); !still) return still.error();
  if (!points_home(root.get(), tree))
    out.manifest.left_out.push_back({".git", "does not point at this worktree's git directory"});
  std::sort(out.manifest.left_out.begin(), out.manifest.left_out.end());
  out.stashes = read_stashes(repo, rules.branch);
  REMORA_CHECK(adopt_named(repo, objects, out));
  out.tree = known.files->tree;
  if (out.tree.is_zero()) {
    REMORA_TRY(out.tree, objects.tree({}));
  }
  const std::vector<std::string> unread = unreadable_paths(out.manifest.left_out);
  faults = {unread.begin(), unread.end()};
  last = std::move(known);
  ++number;
  return out;
}

snapshotter::snapshotter(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
snapshotter::snapshotter(snapshotter&&) noexcept = default;
snapshotter& snapshotter::operator=(snapshotter&&) noexcept = default;
snapshotter::~snapshotter() = default;

const worktree& snapshotter::tree() const noexcept {
  return impl_->tree;
}

const directory& snapshotter::files() const noexcept {
  return *impl_->last.files;
}

result<snapshotter> snapshotter::open(const repository& repo, worktree tree, const oid& base,
                                      snapshot_rules rules) {
  REMORA_TRY(const commit_info commit, repo.read_commit(base));
  auto made = std::make_unique<impl>();
  made->tree = std::move(tree);
  made->base = base;
  made->rules = std::move(rules);
  std::string patterns;
  for (const std::string& line : made->rules.include) patterns += line + '\n';
  made->include = ignore_list(patterns);
  made->convert = conversions::of(repo);
  made->last.files = scanner::base_root(commit.tree);
  if (made->rules.watch) made->watch = std::make_unique<tree_watch>(made->rules.watch);
  return snapshotter(std::move(made));
}

result<snapshot> snapshotter::take(const repository& repo, object_writer& objects,
                                   std::stop_token stop, look where) {
  auto taken = impl_->take(repo, objects, std::move(stop), where);
  if (!taken) impl_->trusted = false;  // what was told until now went into a scan that is not kept
  return taken;
}

}  // namespace remora::git

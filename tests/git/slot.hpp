// A repository with one worktree, as a task has it, and snapshots of that.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <remora/git/snapshot.hpp>
#include <repo.hpp>
#include <set>

namespace remora::test {

inline const char* const task_branch = "refs/heads/remora/run/task";

/// `result::value()` whose failure says what went wrong.
template <class T>
T must(result<T> r) {
  if (!r) throw std::runtime_error(r.error().what);
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

inline git::worktree worktree_at(const test_repo& repo, const std::filesystem::path& root) {
  git::worktree tree;
  tree.root = root;
  tree.git_dir = repo.git_in(root, "rev-parse --absolute-git-dir");
  struct stat st{};
  if (::stat(root.c_str(), &st) != 0) throw std::runtime_error("stat " + root.string());
  tree.device = st.st_dev;
  tree.inode = st.st_ino;
  return tree;
}

/// One thousand seconds ago: what has this time is not racy.
inline void age(const std::filesystem::path& path) {
  timespec when[2]{};
  ::clock_gettime(CLOCK_REALTIME, &when[0]);
  when[0].tv_sec -= 1000;
  when[1] = when[0];
  ::utimensat(AT_FDCWD, path.c_str(), when, AT_SYMLINK_NOFOLLOW);
}

/// Until the clock of file times has moved on: what is older now is not racy later.
inline void await_tick() {
  const auto now = [] {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
  };
  for (const auto before = now(); now() == before;) {
  }
}

class slot {
 public:
  /// Commits what `fill` puts into the repository, then makes the worktree.
  template <class Fill>
  explicit slot(Fill fill) {
    fill(repo);
    base = repo.commit("base");
    root = repo.beside("slot");
    repo.git("worktree add -q --no-track -b remora/run/task '" + root.string() + "'");
    tree = worktree_at(repo, root);
    opened.emplace(must(git::repository::discover(repo.path())));
    objects.emplace(*opened);
  }
  slot() : slot([](const test_repo& r) { r.write("a.txt", "one\n"); }) {}

  git::snapshotter open(git::snapshot_rules rules = {}) const {
    if (rules.branch.empty()) rules.branch = task_branch;
    return must(git::snapshotter::open(*opened, tree, base, std::move(rules)));
  }
  git::snapshot take(git::snapshotter& s) {
    git::snapshot taken = must(s.take(*opened, *objects, {}));
    must(objects->barrier());
    return taken;
  }
  git::snapshot take(git::snapshot_rules rules = {}) {
    git::snapshotter s = open(std::move(rules));
    return take(s);
  }

  void write(const std::string& name, std::string_view bytes) const {
    write_bytes(root / name, bytes);
  }
  std::string git(const std::string& arguments) const { return repo.git_in(root, arguments); }

  /// `mode path` of every entry of the snapshot, with the content where it is asked for.
  std::set<std::string> paths(const git::snapshot& s) const {
    std::set<std::string> found;
    collect("", s.tree, found);
    return found;
  }
  std::string content(const git::snapshot& s, const std::string& path) const {
    auto bytes = must(opened->read_path(s.tree, path));
    return bytes ? *bytes : "(absent)";
  }
  git::mode mode(const git::snapshot& s, const std::string& path) const {
    auto entry = must(opened->find(s.tree, path));
    return entry ? entry->mode : git::mode{};
  }

  test_repo repo;
  git::oid base;
  std::filesystem::path root;
  git::worktree tree;
  std::optional<git::repository> opened;
  std::optional<git::object_writer> objects;

 private:
  void collect(const std::string& prefix, const git::oid& id, std::set<std::string>& found) const {
    for (const git::tree_entry& e : must(opened->read_tree(id))) {
      if (e.mode == git::mode::directory)
        collect(prefix + e.name + '/', e.id, found);
      else
        found.insert(prefix + e.name);
    }
  }
};

inline std::string reason(const git::snapshot& s, const std::string& path) {
  for (const git::omission& o : s.manifest.left_out)
    if (o.path == path) return o.reason;
  return {};
}

using names = std::set<std::string>;

}  // namespace remora::test

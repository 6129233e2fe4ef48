// A snapshot as a durable commit under a ref, against what others do for one: git's commands on a
// copied index, `git stash create`, a fresh index, libgit2's git_index_add_all; and against what
// cannot be saved: a stat of every file, or the bytes of those that changed. All of them look at
// one worktree; before each turn the same files change for all.
//
//   snapshot [--files N,N,…] [--turns T] [--json FILE] [--repository PATH] [--slots-only]
//   [DIRECTORY]
//
// 10000,38000,154000 files, 9 turns, /tmp. PATH: a clone of that repository instead. The last three
// rows are of worktrees that are made, restored, or go from one task to the next.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <git2/sys/repository.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <remora/core/posix.hpp>
#include <remora/git/change_watch.hpp>
#include <remora/git/restore.hpp>
#include <remora/git/reuse.hpp>
#include <stdexcept>

#include "git/handles.hpp"
#include "measure.hpp"

namespace remora::bench {
namespace {
namespace fs = std::filesystem;

template <class T>
T must(result<T> r) {
  if (!r) throw std::runtime_error(r.error().what);
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

void check(int code) {
  if (code < 0) throw std::runtime_error(git_error_last() ? git_error_last()->message : "libgit2");
}

std::string index_of(const fs::path& worktree) {
  return fmt::format("$(git -C '{}' rev-parse --absolute-git-dir)/index", worktree.string());
}

/// remora's: scanned, or where inotify told.
class own_snapshots {
 public:
  own_snapshots(const fs::path& worktree, std::string ref, git::look where)
      : repo_(must(git::repository::discover(worktree))),
        objects_(repo_),
        tree_(must(git::open_worktree(repo_, worktree))),
        base_(must(repo_.resolve_commit("HEAD"))),
        ref_(std::move(ref)),
        where_(where) {
    open();
  }

  /// As after a start: nothing is known of the worktree.
  void open() {
    git::snapshot_rules rules;
    if (where_ == git::look::where_told) rules.watch = must(git::change_watch::open());
    shots_.emplace(must(git::snapshotter::open(repo_, tree_, base_, std::move(rules))));
  }
  void take() {
    const git::snapshot taken = must(shots_->take(repo_, objects_, {}, where_));
    const git::oid parents[] = {base_};
    const git::oid made = must(
        objects_.commit(taken.tree, parents, git::remora_signature(1'700'000'000 + ++made_), "s"));
    must(objects_.barrier());
    must(repo_.swap_ref(ref_, last_, made));
    last_ = made;
  }

 private:
  git::repository repo_;
  git::object_writer objects_;
  git::worktree tree_;
  git::oid base_;
  std::string ref_;
  git::look where_;
  std::optional<git::snapshotter> shots_;
  git::oid last_;
  std::int64_t made_ = 0;
};

/// What others do, with an index of their own beside the worktree.
class git_commands {
 public:
  git_commands(const fs::path& worktree, std::string_view name, std::string_view options)
      : index_(fmt::format("{}.{}", worktree.string(), name)),
        copy_(fmt::format("cp \"{}\" '{}'", index_of(worktree), index_)),
        begin_(fmt::format("set -e; cd '{}'; export GIT_INDEX_FILE='{}'; ", worktree.string(),
                           index_ + ".next")),
        commit_(fmt::format("git {0} add -A; tree=$(git {0} write-tree); "
                            "commit=$(git {0} commit-tree -p HEAD -m s $tree); "
                            "git {0} update-ref refs/bench/{1} $commit; ",
                            options, name)) {
    fresh();
  }
  void fresh() const { shell(copy_); }
  void add_all() const {
    shell(fmt::format("{0} cp '{1}' '{1}.next'; {2} mv '{1}.next' '{1}'", begin_, index_, commit_));
  }
  void add_all_anew() const {
    shell(fmt::format("{} rm -f '{}.next'; git read-tree HEAD; {}", begin_, index_, commit_));
  }
  void stash() const {
    shell(fmt::format("{0} cp '{1}' '{1}.next'; git stash create > '{1}.made'", begin_, index_));
  }
  void status() const {
    shell(fmt::format("{0} cp '{1}' '{1}.next'; git status --porcelain > '{1}.made'", begin_,
                      index_));
  }

 private:
  std::string index_, copy_, begin_, commit_;
};

/// git_index_add_all on a copied index that stays open.
class libgit2_index {
 public:
  explicit libgit2_index(const fs::path& worktree) {
    const std::string copy = worktree.string() + ".libgit2";
    shell(fmt::format("cp \"{}\" '{}'", index_of(worktree), copy));
    git_repository* repo = nullptr;
    check(git_repository_open(&repo, worktree.c_str()));
    repo_.reset(repo);
    git_index* index = nullptr;
    check(git_index_open(&index, copy.c_str()));
    index_.reset(index);
    check(git_repository_set_index(repo, index));
  }
  void add_all() {
    check(git_index_add_all(index_.get(), nullptr, GIT_INDEX_ADD_DEFAULT, nullptr, nullptr));
    git_oid tree;
    check(git_index_write_tree(&tree, index_.get()));
    check(git_index_write(index_.get()));
  }

 private:
  git::repository_handle repo_;
  git::index_handle index_;
};

/// A stat of each file of the list, by directory.
void stat_all(const fs::path& worktree, const std::vector<std::string>& files) {
  std::string open;
  int fd = -1;
  for (const std::string& file : files) {
    const std::size_t slash = file.rfind('/');
    const std::string dir = slash == file.npos ? "." : file.substr(0, slash);
    if (dir != open) {
      if (fd >= 0) ::close(fd);
      fd = ::open((worktree / dir).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      open = dir;
    }
    struct stat st{};
    if (::fstatat(fd, file.c_str() + (slash == file.npos ? 0 : slash + 1), &st,
                  AT_SYMLINK_NOFOLLOW) != 0)
      throw std::runtime_error("cannot stat " + file);
  }
  if (fd >= 0) ::close(fd);
}

/// Reads, hashes and deflates what changed into one file, and four syncs: the least that is
/// durable.
void write_changed(const fs::path& worktree, const std::vector<std::string>& changed,
                   const fs::path& to) {
  const int out = ::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  for (const std::string& file : changed) {
    const std::string bytes = must(read_file(worktree / file));
    git_oid id;
    check(git_odb_hash(&id, bytes.data(), bytes.size(), GIT_OBJECT_BLOB));
    uLongf size = ::compressBound(bytes.size());
    std::string packed(size, '\0');
    ::compress(reinterpret_cast<Bytef*>(packed.data()), &size,
               reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    must(write_all(out, std::string_view(packed).substr(0, size)));
    must(write_all(out, {reinterpret_cast<const char*>(id.id), sizeof id.id}));
  }
  for (int i = 0; i < 4; ++i) {
    must(write_all(out, "x"));
    ::fsync(out);
  }
  ::close(out);
}

/// A worktree that goes from task to task.
class used_slot {
 public:
  used_slot(const sample_repository& files, const fs::path& root)
      : files_(files),
        repo_(must(git::repository::discover(files.root()))),
        objects_(repo_),
        base_(must(repo_.resolve_commit("HEAD"))),
        tree_(must(git::add_worktree(repo_, root, branch(), base_, {}))) {}
  ~used_slot() { (void)git::remove_worktree(repo_, tree_.root); }

  /// A task's life: what it finds is saved, it changes some files, those are saved.
  void use(std::size_t changed) {
    shots_.emplace(must(git::snapshotter::open(repo_, tree_, base_, {})));
    must(shots_->take(repo_, objects_, {}));
    change_files(files_, tree_.root, changed, ++tasks_);
    must(shots_->take(repo_, objects_, {}));
    must(objects_.barrier());
    must(git::set_aside(repo_, tree_, branch_));
  }
  void next() { tree_ = must(git::reuse_worktree(repo_, *shots_, branch(), base_, {})); }

 private:
  const std::string& branch() { return branch_ = fmt::format("refs/heads/bench/{}", ++branches_); }

  const sample_repository& files_;
  git::repository repo_;
  git::object_writer objects_;
  git::oid base_;
  std::string branch_;
  std::uint32_t branches_ = 0, tasks_ = 0;
  git::worktree tree_;
  std::optional<git::snapshotter> shots_;
};

class program {
 public:
  program(const fs::path& directory, int turns, bool slots_only, std::ofstream* json)
      : turns_(turns), slots_only_(slots_only), json_(json), scratch_(directory) {}

  void sample(std::size_t files) { measure(sample_repository(scratch_.path() / "repo", files)); }
  void real(const fs::path& repository) {
    measure(sample_repository(scratch_.path() / "repo", repository));
  }

 private:
  void measure(const sample_repository& repo) {
    repo_ = &repo;
    tree_ = scratch_.path() / "tree";
    repo.add_worktree(tree_);
    told_.emplace(tree_, "refs/bench/told", git::look::where_told);
    scanned_.emplace(tree_, "refs/bench/scanned", git::look::everywhere);
    durable_.emplace(tree_, "durable", "-c core.fsync=all");
    plain_.emplace(tree_, "plain", "");
    libgit2_.emplace(tree_);

    print_header(fmt::format("{} files, median of {} turns", repo.files().size(), turns_),
                 {"what", "changed", "ms", "/ durable git"});
    for (const std::size_t changed : {0, 10, 1'000})
      if (!slots_only_ && changed * 4 <= repo.files().size()) snapshots(changed);
    if (!slots_only_) first();
    slots();
    shell(fmt::format("rm -rf '{}' '{}'*", repo.root().string(), tree_.string()));
  }

  void change(std::size_t count) {
    change_files(*repo_, tree_, count, ++seed_);
    changed_.clear();
    const std::size_t step = count ? repo_->files().size() / count : 0;
    for (std::size_t i = 0; i < count; ++i)
      changed_.push_back(repo_->files()[i * step + seed_ % step]);
  }

  void print(const std::vector<contender>& all, std::size_t reference, std::size_t changed) {
    const auto found = compare(all, reference, turns_, scratch_.path());
    for (const measured& m : found) {
      print_row({m.name, std::to_string(changed), cell(m.median_ms), cell(m.ratio, 3)});
      if (json_)
        *json_ << fmt::format(
            "{{\"files\":{},\"changed\":{},\"what\":\"{}\",\"ms\":{:.3f},\"ratio\":{:.4f}}}\n",
            repo_->files().size(), changed, m.name, m.median_ms, m.ratio);
    }
  }

  void snapshots(std::size_t changed) {
    print({{"git, copied index, core.fsync=all", [=, this](int) { change(changed); },
            [this](int) { durable_->add_all(); }},
           {"git, copied index", {}, [this](int) { plain_->add_all(); }},
           {"git, fresh index", {}, [this](int) { plain_->add_all_anew(); }},
           {"git stash create", {}, [this](int) { plain_->stash(); }},
           {"libgit2, add_all", {}, [this](int) { libgit2_->add_all(); }},
           {"remora, scanned", {}, [this](int) { scanned_->take(); }},
           {"remora, told", {}, [this](int) { told_->take(); }},
           {"a stat of every file", {}, [this](int) { stat_all(tree_, repo_->files()); }},
           {"the changed bytes, four syncs",
            {},
            [this](int) { write_changed(tree_, changed_, scratch_.path() / "floor"); }}},
          0, changed);
  }

  void first() {
    const fs::path fresh = scratch_.path() / "fresh";
    repo_->add_worktree(fresh);
    own_snapshots ours(fresh, "refs/bench/first", git::look::everywhere);
    const git_commands theirs(fresh, "first", "");
    print({{"git status, fresh worktree", [&](int) { theirs.fresh(); },
            [&](int) { theirs.status(); }},
           {"remora, first snapshot",
            {},
            [&](int) {
              ours.open();
              ours.take();
            }}},
          0, 0);
    shell(fmt::format("rm -rf '{}'*", fresh.string()));
  }

  void slots() {
    const fs::path used = scratch_.path() / "used";
    const std::string root = repo_->root().string();
    repo_->add_worktree(used);
    git::repository repo = must(git::repository::discover(used));
    const git::worktree slot = must(git::open_worktree(repo, used));
    git::object_writer objects(repo);
    const git::oid base = must(repo.resolve_commit("HEAD"));
    git::snapshotter shots = must(git::snapshotter::open(repo, slot, base, {}));
    const git::snapshot what = must(shots.take(repo, objects, {}));
    must(objects.barrier());
    used_slot other(*repo_, scratch_.path() / "slot");
    // All stay until the end: where many files were removed a moment ago ext4 is slow to make new
    // ones, since it looks for inodes that are not in use again too soon.
    int made = 0;
    print({{"git worktree add",
            {},
            [&](int) { repo_->add_worktree(scratch_.path() / fmt::format("made-{}", ++made)); }},
           {"remora, restore where 10 files differ",
            [&](int) { change_files(*repo_, used, 10, ++seed_); },
            [&](int) { must(git::restore_worktree(repo, slot, "refs/heads/none", what, {})); }},
           {"remora, worktree ready, used slot", [&](int) { other.use(10); },
            [&](int) { other.next(); }}},
          0, 10);
    shell(fmt::format("rm -rf '{}' '{}'/made-*; git -C '{}' worktree prune", used.string(),
                      scratch_.path().string(), root));
  }

  int turns_;
  bool slots_only_;
  std::ofstream* json_;
  scratch scratch_;
  fs::path tree_;
  const sample_repository* repo_ = nullptr;
  std::optional<own_snapshots> told_, scanned_;
  std::optional<git_commands> durable_, plain_;
  std::optional<libgit2_index> libgit2_;
  std::vector<std::string> changed_;
  std::uint32_t seed_ = 0;
};

struct options {
  std::vector<std::size_t> files{10'000, 38'000, 154'000};
  int turns = 9;
  bool slots_only = false;
  std::optional<std::ofstream> json;
  fs::path repository, directory = "/tmp";
};

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--slots-only") {
      o.slots_only = true;
      continue;
    }
    if (!name.starts_with("--")) {
      o.directory = name;
      continue;
    }
    if (++i == argc) throw std::runtime_error(name + " needs a value");
    const std::string value = argv[i];
    if (name == "--turns") {
      o.turns = std::stoi(value);
    } else if (name == "--json") {
      o.json.emplace(value);
    } else if (name == "--repository") {
      o.repository = fs::absolute(value);
    } else if (name == "--files") {
      o.files.clear();
      for (std::size_t at = 0; at <= value.size();
           at = std::min(value.find(',', at), value.size()) + 1)
        o.files.push_back(std::stoul(value.substr(at)));
    } else {
      throw std::runtime_error("there is no option " + name);
    }
  }
  return o;
}

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  remora::bench::options o = remora::bench::parse(argc, argv);
  remora::bench::isolate_git();
  remora::git::initialise();
  std::ofstream* json = o.json ? &*o.json : nullptr;
  remora::bench::program all(o.directory, o.turns, o.slots_only, json);
  if (!o.repository.empty())
    all.real(o.repository);
  else
    for (const std::size_t files : o.files) all.sample(files);
  return 0;
} catch (const std::exception& e) {
  std::cerr << "snapshot: " << e.what() << '\n';
  return 1;
}

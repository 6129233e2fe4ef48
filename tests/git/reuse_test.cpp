// A used worktree as another task's: held against what git makes for that task.
#include <remora/git/reuse.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <remora/core/posix.hpp>
#include <sstream>

#include "git/remove_tree.hpp"
#include "slot.hpp"

using namespace remora;
using namespace remora::test;
namespace fs = std::filesystem;

namespace {

const std::string next = "refs/heads/remora/run/next";

/// Kind, permissions and content of all there is, but the worktree's own `.git`.
std::map<std::string, std::string> listing(const fs::path& root) {
  std::map<std::string, std::string> found;
  for (const auto& e : fs::recursive_directory_iterator(root)) {
    const std::string path = e.path().string().substr(root.string().size() + 1);
    if (path == ".git") continue;
    struct stat st{};
    ::lstat(e.path().c_str(), &st);
    std::ostringstream what;
    what << std::oct << st.st_mode << ' ';
    if (S_ISLNK(st.st_mode)) what << fs::read_symlink(e.path()).string();
    if (S_ISREG(st.st_mode)) what << st.st_nlink << ' ' << read_bytes(e.path());
    found[path] = what.str();
  }
  return found;
}

ino_t inode(const fs::path& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) throw std::runtime_error("stat " + path.string());
  return st.st_ino;
}

/// False: the file system keeps no attributes.
bool mark(const fs::path& path) {
  return ::setxattr(path.c_str(), "user.note", "x", 1, 0) == 0;
}

bool is_marked(const fs::path& path) {
  return ::getxattr(path.c_str(), "user.note", nullptr, 0) >= 0;
}

struct used_slot : slot {
  used_slot()
      : slot([](const test_repo& r) {
          r.write(".gitignore", "*.o\nbuild/\n");
          r.write(".gitattributes", "* text=auto\n*.png binary\n");
          r.write("src/kept.c", "kept\n");
          r.write("src/changed.c", "one\n");
          r.write("src/deep/er/gone.c", "gone\n");
          r.write("run.sh", "#!/bin/sh\n");
          ::chmod((r.path() / "run.sh").c_str(), 0755);
          fs::create_symlink("src/kept.c", r.path() / "link");
        }) {
    repo.git("worktree remove '" + root.string() + "'");
    repo.git("branch -D remora/run/task");
    tree = must(git::add_worktree(*opened, root, task_branch, base, {}));
    fs::permissions(root, fs::perms::owner_all);  // as a reserved slot
    settle();
  }

  /// From here on a snapshot knows the files without having read them.
  void settle() {
    await_tick();
    git("update-index -q --refresh");
    await_tick();
    shots.emplace(open());
    take(*shots);
  }

  result<git::worktree> reuse(const git::oid& commit) {
    take(*shots);
    must(git::set_aside(*opened, tree, task_branch));
    return git::reuse_worktree(*opened, *shots, next, commit, {});
  }

  /// As if git had made it for `commit`.
  void check_new(const git::oid& commit) {
    const fs::path fresh = repo.beside("fresh");
    repo.git("worktree add -q --force --detach '" + fresh.string() + "' " + commit.hex());
    const auto wanted = listing(fresh), found = listing(root);
    for (const auto& [path, what] : wanted)
      BOOST_TEST((found.contains(path) ? found.at(path) : "(absent)") == what, path);
    for (const auto& [path, what] : found) BOOST_TEST(wanted.contains(path), "too many: " << path);
    BOOST_TEST(git("diff-files") == "");  // before anything refreshes the index
    BOOST_TEST(git("status --porcelain --ignored") == "");
    BOOST_TEST(git("ls-files --stage -v") == repo.git_in(fresh, "ls-files --stage -v"));
    BOOST_TEST(git("symbolic-ref HEAD") == next);
    BOOST_TEST(git("rev-parse HEAD") == commit.hex());
    for (const auto& e : fs::directory_iterator(tree.git_dir))
      BOOST_TEST(
          names({"HEAD", "commondir", "gitdir", "index", "locked"}).contains(e.path().filename()),
          "too many: " << e.path());
    repo.git("worktree remove --force '" + fresh.string() + "'");
  }

  std::optional<git::snapshotter> shots;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(reuse, used_slot)

BOOST_AUTO_TEST_CASE(a_used_worktree_becomes_what_git_makes_and_what_did_not_change_stays) {
  const ino_t kept = inode(root / "src/kept.c"), program = inode(root / "run.sh");
  write("src/changed.c", "two\n");
  write("new/file", "new\n");
  write("build/out/a.o", "object\n");
  write("src/kept.o", "object\n");
  fs::create_directories(root / "empty/below");
  const auto made = must(reuse(base));
  BOOST_TEST((made.root == root && made.inode == inode(root)));
  check_new(base);
  BOOST_TEST(inode(root / "src/kept.c") == kept);
  BOOST_TEST(inode(root / "run.sh") == program);
  BOOST_TEST(read_bytes(tree.git_dir / "locked") == "remora/run/next\n");
  BOOST_TEST(git::check_worktree(made).has_value());
  BOOST_TEST(repo.git("fsck --strict --no-dangling") == "");
}

BOOST_AUTO_TEST_CASE(nothing_that_an_agent_did_to_names_and_permissions_stays) {
  fs::remove(root / "link");
  write("link", "a file now\n");
  fs::remove(root / "src/changed.c");
  fs::create_symlink("kept.c", root / "src/changed.c");
  fs::remove_all(root / "src/deep");
  write("src/deep", "a file now\n");
  ::chmod((root / "run.sh").c_str(), 0640);
  fs::create_hard_link(root / "src/kept.c", repo.beside("second name"));
  fs::create_directories(root / "locked/in");
  write("locked/in/f", "x");
  ::chmod((root / "locked").c_str(), 0500);
  ::chmod((root / "src").c_str(), 0700);
  BOOST_REQUIRE(::mkfifo((root / "src/fifo").c_str(), 0600) == 0);
  repo.git("init -q '" + (root / "nested/repo").string() + "'");
  must(reuse(base));
  check_new(base);
}

BOOST_AUTO_TEST_CASE(no_attribute_or_group_that_an_agent_set_stays) {
  for (const char* path : {"src/deep", "run.sh"}) mark(root / path);
  if (::geteuid() == 0)
    for (const char* path : {"src/deep/er", "src/kept.c"})
      BOOST_REQUIRE(::chown((root / path).c_str(), ::geteuid(), 12'345) == 0);
  fs::last_write_time(root / "run.sh", fs::file_time_type::clock::now());
  settle();
  must(reuse(base));
  check_new(base);
  for (const char* path : {"src/deep", "run.sh"}) BOOST_TEST(!is_marked(root / path), path);
  for (const char* path : {"src/deep/er", "src/kept.c"}) {
    struct stat st{};
    BOOST_REQUIRE(::stat((root / path).c_str(), &st) == 0);
    BOOST_TEST(st.st_gid == ::getegid(), path);
  }
}

BOOST_AUTO_TEST_CASE(a_worktree_whose_directory_has_attributes_is_not_reused) {
  if (!mark(root)) return;
  BOOST_TEST(reuse(base).error().is(errc::unsupported));
}

BOOST_AUTO_TEST_CASE(another_base_is_checked_out) {
  write("src/changed.c", "of the first task\n");
  git("add -A");
  git("commit -q -m first");
  const git::oid other = [&] {
    repo.write("src/changed.c", "of the base\n");
    repo.write("src/kept.o", "tracked, though ignored\n");
    repo.git("add -f src/kept.o");
    repo.git("rm -q -r src/deep link");
    repo.write("link/dir/f", "a directory now\n");
    return repo.commit("other");
  }();
  write("src/kept.o", "ignored\n");
  must(reuse(other));
  check_new(other);
}

BOOST_AUTO_TEST_CASE(an_operation_and_flags_of_the_former_task_are_gone) {
  git("checkout -q -b side");
  write("src/changed.c", "side\n");
  git("commit -q -a -m side");
  git("checkout -q remora/run/task");
  write("src/changed.c", "ours\n");
  git("commit -q -a -m ours");
  test_repo::try_git(root, "merge -q side");
  git("update-index --assume-unchanged run.sh");
  git("update-ref refs/worktree/mine HEAD");
  write("run.sh", "#!/bin/true\n");
  for (const char* name : {"hooks/post-commit", "info/sparse-checkout", "BISECT_LOG", "config"})
    write_bytes(tree.git_dir / name, "x\n");
  BOOST_REQUIRE(fs::exists(tree.git_dir / "MERGE_HEAD"));
  must(reuse(base));
  check_new(base);
}

BOOST_AUTO_TEST_CASE(what_changed_since_the_last_snapshot_is_not_trusted) {
  take(*shots);
  must(git::set_aside(*opened, tree, task_branch));
  write("src/kept.c", "KEPT\n");  // of the same size, by a verification perhaps
  must(git::reuse_worktree(*opened, *shots, next, base, {}));
  check_new(base);
}

BOOST_AUTO_TEST_CASE(C2_a_worktree_whose_git_file_was_replaced_is_not_reused) {
  const std::string mine = read_bytes(root / ".git");
  fs::remove(root / ".git");
  repo.git("init -q '" + repo.beside("elsewhere").string() + "'");
  write(".git", "gitdir: " + repo.beside("elsewhere/.git").string() + "\n");
  BOOST_TEST(git::set_aside(*opened, tree, task_branch).error().is(errc::vanished));
  write(".git", mine + "\n");  // leads home, but is not git's
  BOOST_TEST(reuse(base).error().is(errc::unsupported));
  BOOST_TEST(must(git::remove_half_made(*opened, root)));
  BOOST_TEST(!fs::exists(root));
  BOOST_TEST(!fs::exists(tree.git_dir));
}

BOOST_AUTO_TEST_CASE(a_worktree_that_was_not_set_aside_or_was_swept_is_not_reused) {
  take(*shots);
  const auto reused = [&] { return git::reuse_worktree(*opened, *shots, next, base, {}); };
  BOOST_TEST(reused().error().is(errc::unsupported));
  BOOST_TEST(git("symbolic-ref HEAD") == task_branch);
  must(git::set_aside(*opened, tree, task_branch));
  BOOST_TEST(must(git::remove_half_made(*opened, root)));
  BOOST_TEST(reused().error().is(errc::unsupported));
  BOOST_TEST(repo.git("for-each-ref " + next) == "");
}

BOOST_AUTO_TEST_CASE(where_a_checkout_does_more_than_to_write_bytes_git_does_it) {
  take(*shots);
  must(git::set_aside(*opened, tree, task_branch));
  const auto refused = [&](const git::oid& commit) {
    const auto made = git::reuse_worktree(*opened, *shots, next, commit, {});
    return !made && made.error().is(errc::unsupported);
  };
  for (const char* setting :
       {"core.autocrlf input", "core.eol crlf", "core.sparseCheckout true", "core.symlinks false",
        "core.worktree /tmp", "core.attributesFile x", "extensions.worktreeConfig true"}) {
    const std::string name(setting, std::string_view(setting).find(' '));
    repo.git(std::string("config ") + setting);
    BOOST_TEST(refused(base), setting);
    repo.git("config --unset " + name);
  }
  repo.write("src/.gitattributes", "*.c ident\n");
  BOOST_TEST(refused(repo.commit("ident")));
  repo.write("src/.gitattributes", "[attr]dos text eol=crlf\n");
  BOOST_TEST(refused(repo.commit("crlf")));
}

BOOST_AUTO_TEST_CASE(a_stop_leaves_a_half_made_worktree) {
  take(*shots);
  must(git::set_aside(*opened, tree, task_branch));
  std::stop_source stop;
  stop.request_stop();
  BOOST_TEST(
      git::reuse_worktree(*opened, *shots, next, base, stop.get_token()).error().is(errc::stopped));
  BOOST_TEST(must(git::remove_half_made(*opened, root)));
}

/// In mounts of its own; what it exits with.
template <class Body>
int in_a_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

BOOST_AUTO_TEST_CASE(what_is_mounted_in_a_worktree_is_not_emptied) {
  const fs::path data = repo.beside("data");
  write_bytes(root / "below/build/x", "covered");
  write_bytes(data / "precious", "bytes");
  constexpr int cannot_mount = 77, refused = 0;
  const int status = in_a_child([&] {
    if (::unshare(CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(data.c_str(), (root / "below/build").c_str(), nullptr, MS_BIND, nullptr) != 0)
      return cannot_mount;
    const auto above = open_file(root.parent_path(), O_RDONLY | O_DIRECTORY);
    const auto removed = git::remove_tree(above->get(), root.filename());
    return !removed && removed.error().is_errno(EXDEV) ? refused : 1;
  });
  if (status == cannot_mount) return;  // where an ordinary user has no name spaces
  BOOST_TEST(status == refused);
  BOOST_TEST(read_bytes(data / "precious") == "bytes");
}

BOOST_AUTO_TEST_SUITE_END()

// Putting a snapshot back: files, HEAD, index, operations; and what must not be touched.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <map>
#include <remora/git/restore.hpp>

#include "git/tree_writer.hpp"
#include "slot.hpp"

using namespace remora;
using namespace remora::test;

namespace {

/// Everything below `root` but `.git`: type, mode and bytes or target.
std::map<std::string, std::string> listing(const std::filesystem::path& root) {
  std::map<std::string, std::string> found;
  for (auto i = std::filesystem::recursive_directory_iterator(root);
       i != std::filesystem::recursive_directory_iterator(); ++i) {
    const std::string path = i->path().string().substr(root.string().size() + 1);
    if (path == ".git") {
      i.disable_recursion_pending();
      continue;
    }
    struct stat st{};
    ::lstat(i->path().c_str(), &st);
    if (S_ISLNK(st.st_mode))
      found[path] = "link " + std::filesystem::read_symlink(i->path()).string();
    else if (S_ISDIR(st.st_mode))
      found[path] = "directory";
    else if (S_ISREG(st.st_mode))
      found[path] = ((st.st_mode & S_IXUSR) != 0 ? "x " : "- ") + read_bytes(i->path());
    else
      found[path] = "other";
  }
  return found;
}

class pair : public slot {
 public:
  template <class Fill>
  explicit pair(Fill fill) : slot(fill) {
    second = repo.beside("second");
    repo.git("worktree add -q --no-track -b remora/run/again '" + second.string() + "' " +
             base.hex());
    other = worktree_at(repo, second);
  }
  pair() : pair([](const test_repo& r) { r.write("a.txt", "one\n"); }) {}

  git::restore_report restore(const git::snapshot& what,
                              const std::string& branch = "remora/run/again") {
    return must(git::restore_worktree(*opened, other, branch, what, {}));
  }
  std::string status(const std::filesystem::path& where) const {
    return repo.git_in(where,
                       "status --porcelain=v2 --untracked-files=all --ignored=no && git diff "
                       "--cached && git diff && git ls-files --stage -v");
  }
  void check_equal() const {
    const auto wanted = listing(root);
    const auto found = listing(second);
    for (const auto& [path, what] : wanted)
      BOOST_TEST((found.contains(path) ? found.at(path) : "(absent)") == what, path);
    for (const auto& [path, what] : found)
      if (!wanted.contains(path)) BOOST_TEST(what == "(absent)", path);
    BOOST_TEST(status(second) == status(root));
  }

  std::filesystem::path second;
  git::worktree other;
};

git::oid tree_with(const test_repo& repo, const std::string& lines) {
  const auto made = shell(repo.path(), "printf '" + lines + "' | git mktree --missing -z");
  return must(git::oid::parse(made.out.substr(0, 40)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(restore)

BOOST_AUTO_TEST_CASE(W5_nested_repositories_come_back_as_repositories) {
  pair s;
  for (const char* path : {"one", "deep/two", "deep/two/three"}) {
    s.git(fmt::format("init -q {}", path));
    s.write(fmt::format("{}/file", path), path);
    s.git(fmt::format("-C {} add file", path));
  }
  s.git("-C one commit -q -m committed");
  s.write("one/file", "changed since");
  s.write("pointer/.git", "gitdir: /nowhere\n");
  const auto taken = s.take();
  s.restore(taken);
  s.check_equal();
  for (const char* path : {"one", "deep/two", "deep/two/three"}) {
    const std::string status = fmt::format("-C {} status --porcelain=v2 --branch", path);
    BOOST_TEST(s.repo.git_in(s.second, status) == s.git(status), path);
  }

  // Over one that is another by now, and beside one that was not there.
  s.repo.git_in(s.second, "-C one checkout -q -b elsewhere");
  s.repo.git_in(s.second, "init -q besides");
  s.repo.git_in(s.second, "init -q a.txt.d");
  s.restore(taken);
  s.check_equal();
}

BOOST_AUTO_TEST_CASE(W5_a_nested_repository_that_could_not_be_taken_is_not_removed) {
  pair s;
  s.git("init -q nested");
  s.write("nested/file", "f");
  auto taken = s.take();
  s.restore(taken);
  taken.manifest.nested.clear();
  taken.manifest.left_out.push_back({"nested/.git", "nested repository: its .git is no directory"});
  s.restore(taken);
  BOOST_TEST(std::filesystem::exists(s.second / "nested/.git/HEAD"));
}

BOOST_AUTO_TEST_CASE(files_modes_links_and_empty_directories_come_back) {
  pair s([](const test_repo& r) {
    r.write("same", "s");
    r.write("changed", "old");
    r.write("gone/file", "g");
    r.write("type", "file");
    r.write("dir/file", "d");
  });
  s.write("changed", "new");
  std::filesystem::remove_all(s.root / "gone");
  std::filesystem::remove(s.root / "type");
  s.write("type/now/a/directory", "t");
  std::filesystem::remove_all(s.root / "dir");
  std::filesystem::create_symlink("same", s.root / "dir");
  std::filesystem::permissions(s.root / "same", std::filesystem::perms(0755));
  std::filesystem::create_directories(s.root / "empty/inner");
  write_bytes(s.second / "leftover/deep/file", "l");
  BOOST_REQUIRE(::mkfifo((s.second / "pipe").c_str(), 0600) == 0);
  const auto report = s.restore(s.take());
  BOOST_TEST(report.not_restored.empty());
  s.check_equal();
  BOOST_TEST(!std::filesystem::exists(s.second / "leftover"));
}

BOOST_AUTO_TEST_CASE(what_does_not_differ_is_not_written) {
  pair s([](const test_repo& r) {
    r.write("d/a", "a");
    r.write("d/b", "b");
  });
  s.write("d/b", "B");
  const auto taken = s.take();
  BOOST_TEST(s.restore(taken).files_written == 1u);
  const auto again = s.restore(taken);
  BOOST_TEST(again.files_written == 0u);
  BOOST_TEST(again.files_removed == 0u);
}

BOOST_AUTO_TEST_CASE(staged_removed_conflicted_and_intended_entries_come_back) {
  pair s([](const test_repo& r) {
    for (const char* name : {"a", "b", "c", "d", "e"}) r.write(name, name);
  });
  s.git("checkout -q -b side");
  s.write("a", "theirs");
  s.git("commit -q -am side");
  s.git("checkout -q remora/run/task");
  s.write("a", "ours");
  s.git("commit -q -am ours");
  BOOST_REQUIRE(test_repo::try_git(s.root, "merge -q side").status != 0);
  s.write("b", "staged");
  s.git("add b");
  s.write("b", "and changed again");
  s.git("rm -q --cached c");
  s.write("new", "n");
  s.git("add -N new");
  s.git("update-index --assume-unchanged d");
  const auto taken = s.take();
  BOOST_TEST(taken.index.known);
  BOOST_TEST(taken.index.removed == std::vector<std::string>{"c"},
             boost::test_tools::per_element());
  BOOST_TEST(!taken.operation.empty());
  s.restore(taken);
  s.check_equal();
  BOOST_TEST(s.repo.git_in(s.second, "rev-parse HEAD") == s.git("rev-parse HEAD"));
  BOOST_TEST(s.repo.git_in(s.second, "rev-parse MERGE_HEAD") == s.git("rev-parse MERGE_HEAD"));
  BOOST_TEST(s.repo.git_in(s.second, "ls-files -u") == s.git("ls-files -u"));
}

BOOST_AUTO_TEST_CASE(C4_what_git_would_not_stage_is_left_out_of_the_index) {
  pair s([](const test_repo& r) { r.write("a/x", "x"); });
  const git::oid id = s.repo.id("HEAD:a/x");
  const auto taken = s.take();
  const auto entry = [&](const char* path, int stage = 0) {
    return git::index_entry{.path = path, .stage = stage, .mode = git::mode::file, .id = id};
  };
  const std::string as_it_was = s.repo.git_in(s.second, "ls-files --stage");
  for (const char* path :
       {"a/x/y", ".git/config", "b//c", "/b", "../out", "", "b/.", "b/.GIT/x", "git~1"}) {
    auto bad = taken;
    bad.index.entries = {entry(path)};
    const auto report = s.restore(bad);
    for (const git::omission& o : report.not_restored) BOOST_TEST(o.path == path);
    BOOST_TEST(report.not_restored.size() == 1u, path);
    BOOST_TEST(s.repo.git_in(s.second, "ls-files --stage") == as_it_was, path);
  }
  auto bad = taken;
  bad.index.entries = {entry("b"), entry("b", 1), entry("c", 2), entry("c", 2), entry("a")};
  const auto report = s.restore(bad);
  BOOST_TEST(report.not_restored.size() == 3u);
  BOOST_TEST(s.repo.git_in(s.second, "ls-files --stage") == fmt::format("100644 {0} 0\ta\n"
                                                                        "100644 {0} 0\tb\n"
                                                                        "100644 {0} 2\tc",
                                                                        id.hex()));
}

BOOST_AUTO_TEST_CASE(C4_names_in_heads_tree_that_lead_elsewhere_are_not_staged) {
  pair s([](const test_repo& r) { r.write("a/x", "x"); });
  const std::string id = s.repo.id("HEAD:a/x").hex();
  const auto list = s.repo.beside("list");
  write_bytes(list, "100644 blob " + id + "\tgood\n040000 tree " + s.repo.id("HEAD:a").hex() +
                        "\t.git\n100644 blob " + id + "\t..\n");
  s.git("reset -q --soft " + s.git("commit-tree -m bad " + s.git("mktree < " + list.string())));
  auto taken = s.take();
  taken.index = {};  // as of one that could not be read
  const auto report = s.restore(taken);
  BOOST_TEST(s.repo.git_in(s.second, "ls-files") == "good");
  for (const char* path : {".git", ".."})
    BOOST_TEST(std::ranges::count(report.not_restored, path, &git::omission::path) == 1, path);
}

BOOST_AUTO_TEST_CASE(a_conflict_of_a_file_and_a_directory_comes_back) {
  pair s([](const test_repo& r) { r.write("a/b", "base"); });
  s.git("checkout -q -b side");
  s.git("rm -q -r a");
  s.write("a", "a file");
  s.git("add a");
  s.git("commit -q -m side");
  s.git("checkout -q remora/run/task");
  s.write("a/b", "changed");
  s.git("commit -q -am ours");
  test_repo::try_git(s.root, "merge -q -s resolve side");
  BOOST_TEST(s.git("ls-files --stage | wc -l") == "3");  // a at 0, a/b at 1 and 2
  const auto report = s.restore(s.take());
  BOOST_TEST(report.not_restored.empty());
  BOOST_TEST(s.repo.git_in(s.second, "ls-files --stage") == s.git("ls-files --stage"));
}

BOOST_AUTO_TEST_CASE(git_need_not_read_the_files_after_a_restore) {
  pair s([](const test_repo& r) {
    for (const char* name : {"a", "b/c", "d"}) r.write(name, name);
  });
  s.write("a", "staged");
  s.git("add a");
  const auto taken = s.take();
  for (int i = 0; i < 2; ++i) {  // from the old index's stats the second time
    await_tick();
    s.restore(taken);
    BOOST_TEST(s.repo.git_in(s.second, "diff-files") == "");
  }
}

BOOST_AUTO_TEST_CASE(the_tasks_branch_moves_forward_only_and_no_other_moves) {
  pair s;
  s.write("a.txt", "two\n");
  s.git("commit -q -am two");
  const git::oid two = s.repo.id("remora/run/task");
  auto taken = s.take();
  BOOST_TEST((taken.head == git::head_state{two, task_branch}));

  s.restore(taken);  // HEAD was on the task's branch, which is not the one named here
  BOOST_TEST(test_repo::try_git(s.second, "symbolic-ref -q HEAD").status == 1);
  BOOST_TEST((s.repo.id("remora/run/again") == s.base));

  taken.head.ref = "refs/heads/remora/run/again";
  s.restore(taken);
  BOOST_TEST(s.repo.git_in(s.second, "symbolic-ref HEAD") == "refs/heads/remora/run/again");
  BOOST_TEST((s.repo.id("remora/run/again") == two));

  taken.head.commit = s.base;  // behind: the branch keeps what it has
  s.restore(taken);
  BOOST_TEST((s.repo.id("remora/run/again") == two));
  BOOST_TEST(s.repo.git_in(s.second, "rev-parse HEAD") == s.base.hex());
  BOOST_TEST(test_repo::try_git(s.second, "symbolic-ref -q HEAD").status == 1);
}

BOOST_AUTO_TEST_CASE(ignored_files_and_what_was_left_out_stay) {
  pair s([](const test_repo& r) { r.write(".gitignore", "*.o\n"); });
  write_bytes(s.second / "x.o", "kept");
  write_bytes(s.second / "big", "kept too");
  BOOST_REQUIRE(::mkfifo((s.second / "pipe").c_str(), 0600) == 0);
  auto taken = s.take();
  taken.manifest.left_out.push_back({"big", "too large"});
  taken.manifest.left_out.push_back({"pipe", "fifo"});
  s.restore(taken);
  BOOST_TEST(read_bytes(s.second / "x.o") == "kept");
  BOOST_TEST(read_bytes(s.second / "big") == "kept too");
  BOOST_TEST(std::filesystem::is_fifo(s.second / "pipe"));
}

BOOST_AUTO_TEST_CASE(the_snapshots_own_ignore_rules_say_what_may_go) {
  pair s([](const test_repo& r) { r.write(".gitignore", "*.o\n"); });
  s.write(".gitignore", "*.tmp\n");
  write_bytes(s.second / "x.o", "no longer ignored");
  write_bytes(s.second / "y.tmp", "ignored now");
  s.restore(s.take());
  BOOST_TEST(!std::filesystem::exists(s.second / "x.o"));
  BOOST_TEST(std::filesystem::exists(s.second / "y.tmp"));
}

BOOST_AUTO_TEST_CASE(C4_names_that_lead_elsewhere_are_refused) {
  pair s;
  const std::string blob =
      shell(s.repo.path(), "printf evil | git hash-object -w --stdin").out.substr(0, 40);
  for (const std::string name : {"..", ".git", ".GIT", "git~1", ".git "}) {
    const git::oid tree = tree_with(s.repo, "100644 blob " + blob + "\\t" + name + "\\0");
    auto taken = s.take();
    taken.tree = tree;
    const auto before = read_bytes(s.second / ".git");
    const auto report = s.restore(taken);
    BOOST_TEST(report.not_restored.size() == 1u, name);
    BOOST_TEST(read_bytes(s.second / ".git") == before);
    const auto out = s.repo.beside("export");
    const auto exported = must(git::export_files(*s.opened, taken, out, {}));
    BOOST_TEST(exported.not_restored.size() == 1u, name);
    BOOST_TEST(std::filesystem::is_empty(out));
  }
}

BOOST_AUTO_TEST_CASE(C4_a_link_that_is_there_is_never_written_through) {
  pair s([](const test_repo& r) {
    r.write("dir/file", "f");
    r.write("plain", "p");
  });
  const auto outside = s.repo.beside("outside");
  write_bytes(outside / "file", "untouched");
  std::filesystem::remove_all(s.second / "dir");
  std::filesystem::create_symlink(outside, s.second / "dir");
  std::filesystem::remove(s.second / "plain");
  std::filesystem::create_symlink(outside / "file", s.second / "plain");
  s.restore(s.take());
  BOOST_TEST(read_bytes(outside / "file") == "untouched");
  BOOST_TEST(read_bytes(s.second / "dir/file") == "f");
  s.check_equal();
}

BOOST_AUTO_TEST_CASE(C4_an_operation_file_cannot_leave_the_git_directory) {
  pair s;
  auto taken = s.take();
  taken.operation = {
      {"rebase-merge/../../../config", "x"}, {"hooks/post-commit", "x"}, {"MERGE_MSG", "m"}};
  const auto report = s.restore(taken);
  BOOST_TEST(report.not_restored.size() == 2u);
  BOOST_TEST(read_bytes(s.other.git_dir / "MERGE_MSG") == "m");
}

/// It vouches for all that was there when it was written.
void settle_index(const slot& s) {
  timespec later[2]{};
  ::clock_gettime(CLOCK_REALTIME, &later[0]);
  later[0].tv_sec += 1000;
  later[1] = later[0];
  ::utimensat(AT_FDCWD, (s.tree.git_dir / "index").c_str(), later, 0);
}

BOOST_AUTO_TEST_CASE(W14_converted_files_come_back_as_a_checkout_writes_them) {
  pair s([](const test_repo& r) {
    r.write(".gitattributes", "*.txt text eol=crlf\n");
    r.write("a.txt", "a\nb\n");
    r.write("b.txt", "c\nd\n");
  });
  settle_index(s);
  s.write("b.txt", "only lf\n");
  const auto taken = s.take();
  BOOST_TEST(taken.manifest.converted == std::vector<std::string>{"a.txt"},
             boost::test_tools::per_element());
  write_bytes(s.second / "a.txt", "something else");
  s.repo.write(".gitattributes", "*.txt text eol=lf\n");  // the user's checkout says nothing here
  s.restore(taken);
  BOOST_TEST(read_bytes(s.second / "a.txt") == "a\r\nb\r\n");
  BOOST_TEST(read_bytes(s.second / "b.txt") == "only lf\n");
}

BOOST_AUTO_TEST_CASE(G20_conversions_do_without_an_index_that_libgit2_refuses) {
  pair s([](const test_repo& r) {
    r.write(".gitattributes", "*.txt text eol=crlf\n");
    r.write("a.txt", "a\nb\n");
  });
  settle_index(s);
  const auto taken = s.take();
  BOOST_REQUIRE(taken.manifest.converted.size() == 1u);
  s.repo.git("update-index --split-index");
  std::filesystem::remove(s.second / "a.txt");
  s.restore(taken);
  BOOST_TEST(read_bytes(s.second / "a.txt") == "a\r\nb\r\n");
}

BOOST_AUTO_TEST_CASE(W16_a_sparse_checkout_stays_sparse) {
  pair s([](const test_repo& r) {
    r.write("in/file", "i");
    r.write("out/deep/file", "o");
  });
  s.git("sparse-checkout set --no-cone '/in/'");
  const auto taken = s.take();
  s.restore(taken);
  s.check_equal();
}

/// A file that nobody can replace, while this lives.
class immutable_file {
 public:
  explicit immutable_file(const std::filesystem::path& path)
      : fd_(must(open_file(path, O_RDONLY))) {
    made_ = ::ioctl(fd_.get(), FS_IOC_GETFLAGS, &flags_) == 0 && set(flags_ | FS_IMMUTABLE_FL);
  }
  immutable_file(const immutable_file&) = delete;
  immutable_file& operator=(const immutable_file&) = delete;
  ~immutable_file() { set(flags_); }

  /// Not where the file system, or who we are, does not allow it.
  bool made() const { return made_; }

 private:
  bool set(int flags) const { return ::ioctl(fd_.get(), FS_IOC_SETFLAGS, &flags) == 0; }

  unique_fd fd_;
  int flags_ = 0;
  bool made_ = false;
};

BOOST_AUTO_TEST_CASE(W23_an_immutable_file_in_the_way_is_reported) {
  pair s;
  s.write("a.txt", "changed");
  s.write("b.txt", "new");
  const immutable_file held(s.second / "a.txt");
  if (!held.made()) return;
  const auto report = s.restore(s.take());
  BOOST_REQUIRE(report.not_restored.size() == 1u);
  BOOST_TEST(report.not_restored[0].path == "a.txt");
  BOOST_TEST(report.not_restored[0].reason == "what is there cannot be replaced");
  BOOST_TEST(read_bytes(s.second / "b.txt") == "new");
}

BOOST_AUTO_TEST_CASE(W23_a_setuid_bit_is_not_restored) {
  pair s;
  s.write("tool", "t");
  BOOST_REQUIRE(::chmod((s.root / "tool").c_str(), 04755) == 0);
  BOOST_TEST(s.restore(s.take()).not_restored.empty());
  struct stat st{};
  BOOST_REQUIRE(::stat((s.second / "tool").c_str(), &st) == 0);
  BOOST_TEST((st.st_mode & (S_ISUID | S_IXUSR)) == S_IXUSR);
}

BOOST_AUTO_TEST_CASE(W21_a_vanished_worktree_is_an_error) {
  pair s;
  const auto taken = s.take();
  std::filesystem::remove_all(s.second);
  std::filesystem::create_directories(s.second);
  const auto restored = git::restore_worktree(*s.opened, s.other, "remora/run/again", taken, {});
  BOOST_REQUIRE(restored.has_error());
  BOOST_TEST(restored.error().is(errc::vanished));
}

BOOST_AUTO_TEST_CASE(F4_what_was_restored_and_cannot_be_read_back_is_not_removed) {
  slot s;
  s.write("deep/er", "wanted");
  const auto taken = s.take();
  ::mkfifo((s.root / "fifo").c_str(), 0600);
  git::scan_result now;  // of a disk that fails a read
  now.root = std::make_shared<git::directory>();
  now.manifest.left_out = {{"deep/er", "unreadable"}, {"deep", "unreadable"}, {"fifo", "fifo"}};
  const unique_fd root = must(open_file(s.root, O_RDONLY | O_DIRECTORY));
  git::restore_report report;
  git::remove_leftovers(*s.opened, root.get(), now, taken.tree, taken.manifest, report);
  BOOST_TEST(read_bytes(s.root / "deep/er") == "wanted");
  BOOST_TEST(!std::filesystem::exists(s.root / "fifo"));
}

BOOST_AUTO_TEST_SUITE_END()

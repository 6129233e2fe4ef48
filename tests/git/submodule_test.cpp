// Submodules (W6): what is in them is captured beside the commit that the tree names, and put back.
#include <fmt/format.h>

#include <remora/git/restore.hpp>

#include "git/submodule.hpp"
#include "slot.hpp"

using namespace remora;
using namespace remora::test;

namespace {

namespace fs = std::filesystem;

std::string add(const test_repo& of, const char* name) {
  return fmt::format("submodule add -q '{}' {}", of.path().string(), name);
}

/// A submodule `lib`, which has a submodule `inner`.
class superproject {
 public:
  superproject() {
    innermost.write("inner.c", "int i;\n");
    innermost.commit("inner");
    library.write("lib.c", "int x;\n");
    library.write("gone.c", "int g;\n");
    library.write(".gitignore", "*.o\n");
    library.git(add(innermost, "inner"));
    library.commit("one");
    made.emplace([&](const test_repo& r) {
      r.write(".gitignore", "*.c\n");  // is not the submodule's
      r.git(add(library, "lib"));
    });
    made->git("submodule update -q --init --recursive");
  }

  /// A commit, and then all that can be changed.
  void work() {
    slot& s = *made;
    s.git("-C lib checkout -q -b topic");
    s.write("lib/lib.c", "int y;\n");
    s.git("-C lib commit -q -a -m two");
    s.write("lib/lib.c", "int stashed;\n");
    s.git("-C lib stash -q");
    s.write("lib/lib.c", "int staged;\n");
    s.git("-C lib add lib.c");
    s.write("lib/lib.c", "int changed;\n");
    s.write("lib/new.c", "n");
    s.write("lib/new.o", "ignored");
    fs::remove(s.root / "lib/gone.c");
    fs::create_directories(s.root / "lib/empty/within");
    fs::create_symlink("lib.c", s.root / "lib/link");
    s.write("lib/inner/inner.c", "int j;\n");
    s.git("init -q lib/nested");
    s.write("lib/nested/file", "f");
  }

  /// What git and the disk say of the submodule below `where`.
  std::string view(const fs::path& where) const {
    const std::string lib = (where / "lib").string();
    const auto said = shell(
        lib,
        "git status --porcelain=v2 --branch && git diff && git diff --cached && git ls-files -s &&"
        "git log --format=%H && git stash list && git fsck --no-progress && git -C inner diff &&"
        "git -C inner log --format=%H && git -C nested status && git config -l --local | "
        "grep -v '^core.worktree=' | sort && find . -name '*.o' -prune -o -name .git -prune -o "
        "-printf '%p %y %#m %l\\n' | sort");
    BOOST_TEST(said.status == 0, said.out);
    return said.out;
  }

  test_repo library, innermost;
  std::optional<slot> made;
};

fs::path second_worktree(const slot& s, git::worktree& tree) {
  const fs::path second = s.repo.beside("second");
  s.repo.git("worktree add -q --no-track -b remora/run/again '" + second.string() + "' " +
             s.base.hex());
  tree = worktree_at(s.repo, second);
  return second;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(submodule)

BOOST_AUTO_TEST_CASE(W6_a_submodule_that_is_not_there_keeps_its_commit) {
  test_repo library;
  library.write("lib.c", "int x;\n");
  const git::oid first = library.commit("one");
  slot s([&](const test_repo& r) { r.git(add(library, "lib")); });
  const auto taken = s.take();
  BOOST_TEST((must(s.opened->find(taken.tree, "lib"))->id == first));
  BOOST_TEST(taken.manifest.submodules.empty());
  BOOST_TEST(taken.manifest.left_out.empty());
}

BOOST_AUTO_TEST_CASE(W6_a_dirty_submodule_comes_back_in_another_worktree) {
  superproject p;
  slot& s = *p.made;
  p.work();
  const auto taken = s.take();
  BOOST_TEST((s.mode(taken, "lib") == git::mode::commit));
  BOOST_TEST((must(s.opened->find(taken.tree, "lib"))->id.hex() == s.git("-C lib rev-parse HEAD")));
  BOOST_TEST(taken.manifest.left_out.empty());

  git::worktree tree;
  const fs::path second = second_worktree(s, tree);
  const auto restore = [&] {
    return must(git::restore_worktree(*s.opened, tree, "remora/run/again", taken, {}));
  };
  BOOST_TEST(restore().not_restored.empty());
  BOOST_TEST(p.view(second) == p.view(s.root));
  BOOST_TEST(s.repo.git_in(second, "status --porcelain=v2") == s.git("status --porcelain=v2"));

  // Over one in which somebody worked.
  s.repo.git_in(second, "-C lib checkout -q -f HEAD~");
  write_bytes(second / "lib/other", "o");
  restore();
  BOOST_TEST(p.view(second) == p.view(s.root));
  restore();  // git has refreshed the index there
  BOOST_TEST(restore().files_written == 0u);
  BOOST_TEST(fs::exists(s.root / "lib/new.o"));
}

BOOST_AUTO_TEST_CASE(W6_a_dirty_submodule_is_exported_as_a_repository) {
  superproject p;
  p.work();
  const auto taken = p.made->take();
  const fs::path to = p.made->repo.beside("exported");
  const auto report = must(git::export_files(*p.made->opened, taken, to, {}));
  BOOST_TEST(report.not_restored.empty());
  BOOST_TEST(p.view(to) == p.view(p.made->root));
}

BOOST_AUTO_TEST_CASE(W14_a_file_that_a_submodules_checkout_converted_is_exported_as_it_is) {
  test_repo library;
  library.write(".gitattributes", "*.txt text eol=crlf\n");
  library.write("dos.txt", "a\nb\n");
  library.commit("dos");
  slot s([&](const test_repo& r) { r.git(add(library, "lib")); });
  s.git("submodule update -q --init");
  shell(s.root, "touch -d '1000 seconds' \"$(git -C lib rev-parse --absolute-git-dir)/index\"");
  const auto taken = s.take();
  const fs::path to = s.repo.beside("exported");
  must(git::export_files(*s.opened, taken, to, {}));
  BOOST_TEST(read_bytes(to / "lib/dos.txt") == "a\r\nb\r\n");
}

BOOST_AUTO_TEST_CASE(W6_only_what_changed_in_a_submodule_is_written) {
  superproject p;
  slot& s = *p.made;
  auto shots = s.open();
  const auto first = s.take(shots);
  const auto second = s.take(shots);  // what was racy is read once more
  const std::uint64_t written = s.objects->bytes_written();
  BOOST_TEST((s.take(shots).manifest.submodules == first.manifest.submodules));
  BOOST_TEST(s.objects->bytes_written() == written);
  s.write("lib/lib.c", "int y;\n");
  const auto third = s.take(shots);
  BOOST_TEST((third.tree == second.tree));
  BOOST_TEST((third.manifest.submodules != second.manifest.submodules));
}

BOOST_AUTO_TEST_CASE(W6_a_git_directory_that_is_elsewhere_is_declared) {
  superproject p;
  slot& s = *p.made;
  fs::remove_all(s.root / "lib/inner");
  fs::rename(s.tree.git_dir / "modules/lib", s.repo.beside("elsewhere"));
  s.write("lib/.git", fmt::format("gitdir: {}\n", s.repo.beside("elsewhere").string()));
  const auto taken = s.take();
  BOOST_TEST(reason(taken, "lib/.git") == "submodule: its git directory is elsewhere");
  BOOST_REQUIRE(taken.manifest.submodules.size() == 1u);
  BOOST_TEST(must(s.opened->read_path(taken.manifest.submodules[0].files, "lib.c")).value() ==
             "int x;\n");
}

BOOST_AUTO_TEST_CASE(W6_a_configuration_without_its_worktree) {
  const auto without = [](const char* text) { return git::without_worktree(text); };
  BOOST_TEST(without("[core]\n\tbare = false\n\tworktree = ../../../../lib\n[a]\n\tb = c\n") ==
             "[core]\n\tbare = false\n[a]\n\tb = c\n");
  BOOST_TEST(without("[Core]\nWorkTree=a\\\nb\nfilemode = true") == "[Core]\nfilemode = true");
  BOOST_TEST(without("[submodule \"core\"]\nworktree = x\n") ==
             "[submodule \"core\"]\nworktree = x\n");
  BOOST_TEST(without("") == "");
}

BOOST_AUTO_TEST_SUITE_END()

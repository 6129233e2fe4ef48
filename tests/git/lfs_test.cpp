#include <cstdlib>
#include <remora/git/restore.hpp>
#include <remora/git/result_tree.hpp>

#include "slot.hpp"

using namespace remora;
using namespace remora::test;
namespace fs = std::filesystem;

namespace {

std::string pointer(const std::string& id, std::size_t size) {
  return "version https://git-lfs.github.com/spec/v1\noid sha256:" + id + "\nsize " +
         std::to_string(size) + "\n";
}

/// A directory of programs that is all of PATH: git, what scripts need, and perhaps a git-lfs which
/// does what is asked here.
class program_path {
 public:
  explicit program_path(const std::string& git_lfs) : before_(std::getenv("PATH")) {
    for (const char* name : {"git", "sh", "cat", "touch", "mkdir", "sha256sum", "cut", "wc", "mv"})
      fs::create_symlink(shell("/", std::string("command -v ") + name + " | tr -d '\\n'").out,
                         dir_ / name);
    if (!git_lfs.empty()) {
      write_bytes(dir_ / "git-lfs", "#!/bin/sh\n" + git_lfs);
      fs::permissions(dir_ / "git-lfs", fs::perms::owner_all);
    }
    ::setenv("PATH", dir_.path().c_str(), 1);
  }
  program_path(const program_path&) = delete;
  program_path& operator=(const program_path&) = delete;
  ~program_path() { ::setenv("PATH", before_.c_str(), 1); }

 private:
  temp_dir dir_;
  std::string before_;
};

/// As git-lfs(1) does it, in the git directory that it is started in.
constexpr const char* clean = R"(
[ "$1 $2 $3" = "clean -- $3" ] || exit 7
cat > cleaned
id=$(sha256sum < cleaned | cut -d' ' -f1)
size=$(wc -c < cleaned)
dir=lfs/objects/$(echo "$id" | cut -c1-2)/$(echo "$id" | cut -c3-4)
mkdir -p "$dir" && mv cleaned "$dir/$id"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n' "$id" "$size"
)";

struct lfs_fixture {
  slot s{[](const test_repo& r) {
    r.write(".gitattributes", "*.bin filter=lfs -text\n");
    r.write("a.txt", "a\n");
  }};

  git::result_tree result_of(const git::snapshot& taken, std::uint64_t max_file = 10 << 20) {
    return must(git::make_result_tree(*s.opened, *s.objects, taken.tree, s.base, taken.manifest,
                                      {.max_file_bytes = max_file}));
  }
  std::string content(const git::result_tree& made, const std::string& path) {
    return must(s.opened->read_path(made.tree, path)).value_or("(absent)");
  }
  std::string left_out(const git::result_tree& made) {
    std::string text;
    for (const git::omission& o : made.left_out) text += o.path + ": " + o.reason + "\n";
    return text;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lfs_files, lfs_fixture)

BOOST_AUTO_TEST_CASE(W15_a_file_of_git_lfs_is_raw_in_a_snapshot_and_a_pointer_in_a_result) {
  const std::string bytes(5000, 'x');
  s.write("new.bin", bytes);
  const auto taken = s.take();
  BOOST_TEST(s.content(taken, "new.bin") == bytes);
  const program_path programs(clean);
  const auto made = result_of(taken, 4000);  // a pointer is smaller than that
  const std::string name =
      shell("/", "sha256sum < '" + (s.root / "new.bin").string() + "'").out.substr(0, 64);
  BOOST_TEST(content(made, "new.bin") == pointer(name, bytes.size()));
  BOOST_TEST(left_out(made) == "");
  BOOST_TEST(read_bytes(s.repo.path() / ".git/lfs/objects" / name.substr(0, 2) / name.substr(2, 2) /
                        name) == bytes);
}

BOOST_AUTO_TEST_CASE(W15_without_git_lfs_the_bytes_travel_and_nothing_else_is_run) {
  s.repo.git("config alias.lfs '!touch ran'");
  s.write("new.bin", "raw\n");
  s.write("large.bin", std::string(20, 'x'));
  const auto taken = s.take();
  const program_path programs("");
  const auto made = result_of(taken, 10);
  const std::string why = "filter not run: lfs: git-lfs is not in PATH: install it\n";
  BOOST_TEST(content(made, "new.bin") == "raw\n");
  BOOST_TEST(content(made, "large.bin") == "(absent)");
  BOOST_TEST(left_out(made) ==
             "large.bin: " + why + "large.bin: larger than result.max_file\n" + "new.bin: " + why);
  BOOST_TEST(!fs::exists(s.repo.path() / ".git/ran"));
}

BOOST_AUTO_TEST_CASE(W15_git_lfs_is_not_run_where_it_would_run_other_programs) {
  s.repo.git("config lfs.extension.mine.clean 'touch ran; cat'");
  s.write("new.bin", "raw\n");
  const auto taken = s.take();
  const program_path programs("touch ran");
  const auto made = result_of(taken);
  BOOST_TEST(content(made, "new.bin") == "raw\n");
  BOOST_TEST(left_out(made) ==
             "new.bin: filter not run: lfs: git-lfs has extensions here, which are programs\n");
  BOOST_TEST(!fs::exists(s.repo.path() / ".git/ran"));
}

BOOST_AUTO_TEST_CASE(W15_a_git_lfs_that_fails_costs_its_own_file_alone) {
  s.write("bad.bin", "bad\n");
  s.write("good.bin", "good\n");
  const auto taken = s.take();
  const program_path programs(std::string("case $3 in bad*) echo no >&2; exit 2;; esac\n") + clean);
  const auto made = result_of(taken);
  BOOST_TEST(left_out(made) == "bad.bin: filter not run: lfs: git-lfs: no\n");
  BOOST_TEST(content(made, "bad.bin") == "bad\n");
  BOOST_TEST(content(made, "good.bin").starts_with("version https://git-lfs"));
}

BOOST_AUTO_TEST_CASE(W15_a_restore_takes_an_unchanged_file_from_the_store) {
  const std::string id(64, 'a');
  for (const char* name : {"there.bin", "gone.bin"})
    s.repo.write(name, pointer(name[0] == 't' ? id : std::string(64, 'b'), 5));
  s.repo.git("add -A");
  git::snapshot what;
  what.tree = must(git::oid::parse(s.repo.git("write-tree")));
  write_bytes(s.repo.path() / ".git/lfs/objects/aa/aa" / id, "bytes");
  what.manifest.converted = {"gone.bin", "there.bin"};
  const fs::path to = s.repo.beside("out");
  const auto report = must(git::export_files(*s.opened, what, to, {}));
  BOOST_TEST(read_bytes(to / "there.bin") == "bytes");
  BOOST_TEST(read_bytes(to / "gone.bin") == pointer(std::string(64, 'b'), 5));
  BOOST_REQUIRE(report.not_restored.size() == 1u);
  BOOST_TEST(report.not_restored[0].path == "gone.bin");
}

BOOST_AUTO_TEST_CASE(W15_a_file_as_large_as_its_own_pointer_is_captured) {
  const std::string text = pointer(std::string(64, 'c'), 128);
  BOOST_REQUIRE(text.size() == 128u);
  s.repo.write("same.bin", text);
  s.base = s.repo.commit("pointer");
  const fs::path root = s.repo.beside("other");
  s.repo.git("worktree add -q -b other '" + root.string() + "'");
  s.root = root;
  s.tree = worktree_at(s.repo, root);
  // As a checkout by git-lfs leaves it: the index has the stats of the file and the pointer's id.
  s.write("same.bin", std::string(128, 'x'));
  age(root / "same.bin");
  const fs::path cleaned = s.repo.beside("pointer");
  write_bytes(cleaned, text);
  s.repo.git("config filter.lfs.clean \"cat '" + cleaned.string() + "'\"");
  s.git("add same.bin");
  BOOST_REQUIRE(s.git("status --porcelain") == "");
  const auto taken = s.take();
  BOOST_TEST(s.content(taken, "same.bin") == std::string(128, 'x'));
}

BOOST_AUTO_TEST_SUITE_END()

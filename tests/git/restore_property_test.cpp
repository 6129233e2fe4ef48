// Random worktrees: what a snapshot took and a restore put elsewhere is the same.
#include <map>
#include <random>
#include <remora/git/restore.hpp>
#include <remora/git/reuse.hpp>

#include "slot.hpp"

using namespace remora;
using namespace remora::test;

namespace {

/// Changes a worktree as an agent would, in ways that a seed decides.
class mutator {
 public:
  mutator(slot& s, unsigned seed) : slot_(s), random_(seed) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step();
  }

 private:
  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }

  std::string path() {
    static const char* const parts[] = {"a", "b", "c.txt", "sp ace", "new\nline", "\xFF", "x.o"};
    std::string p = parts[pick(7)];
    for (unsigned i = pick(3); i > 0; --i) p += std::string("/") + parts[pick(7)];
    return p;
  }

  void step() {
    const std::filesystem::path at = slot_.root / path();
    std::error_code failed;  // a file where a directory is needed: the step does nothing
    std::filesystem::create_directories(at.parent_path(), failed);
    if (failed) return;
    switch (pick(8)) {
      case 0:
      case 1:
      case 2:
        if (!std::filesystem::is_directory(std::filesystem::symlink_status(at)) &&
            !std::filesystem::is_symlink(at))
          write_bytes(at, std::string(pick(40), static_cast<char>('a' + pick(26))));
        break;
      case 3:
        std::filesystem::remove_all(at, failed);
        break;
      case 4:
        std::filesystem::create_symlink(path(), at, failed);
        break;
      case 5:
        std::filesystem::create_directory(at, failed);
        break;
      case 6:
        if (std::filesystem::is_regular_file(std::filesystem::symlink_status(at)))
          std::filesystem::permissions(at, std::filesystem::perms(pick(2) == 0 ? 0755 : 0644));
        break;
      default:
        stage();
    }
  }

  void stage() {
    static const char* const commands[] = {
        "add -A",   "add -u", "reset -q", "rm -q -r --cached .", "commit -q --allow-empty -m step",
        "add -A -N"};
    test_repo::try_git(slot_.root, commands[pick(6)]);
  }

  slot& slot_;
  std::mt19937 random_;
};

std::map<std::string, std::string> listing(const std::filesystem::path& root) {
  std::map<std::string, std::string> found;
  for (const auto& e : std::filesystem::recursive_directory_iterator(root)) {
    const std::string path = e.path().string().substr(root.string().size() + 1);
    // Not captured: *.o and all that is in a directory of such a name.
    if (path == ".git" || path.ends_with(".o") || path.find(".o/") != path.npos) continue;
    struct stat st{};
    ::lstat(e.path().c_str(), &st);
    if (S_ISLNK(st.st_mode))
      found[path] = "link " + std::filesystem::read_symlink(e.path()).string();
    else if (S_ISDIR(st.st_mode))
      found[path] = "directory";
    else
      found[path] = ((st.st_mode & S_IXUSR) != 0 ? "x " : "- ") + read_bytes(e.path());
  }
  return found;
}

void round_trip(unsigned seed) {
  slot s([](const test_repo& r) {
    r.write(".gitignore", "*.o\n");
    r.write("a/b/c.txt", "c");
    r.write("b", "b");
    r.write("c.txt", "t");
  });
  const auto second = s.repo.beside("second");
  s.repo.git("worktree add -q --no-track -b remora/run/again '" + second.string() + "' " +
             s.base.hex());
  const git::worktree other = worktree_at(s.repo, second);
  git::snapshotter shots = s.open();
  for (unsigned round = 0; round < 3; ++round) {
    mutator(s, seed + round).run(25);
    const auto taken = s.take(shots);
    const auto report =
        must(git::restore_worktree(*s.opened, other, "remora/run/again", taken, {}));
    for (const git::omission& o : report.not_restored)
      BOOST_ERROR("not restored: " << o.path << ": " << o.reason);
    const auto wanted = listing(s.root);
    const auto found = listing(second);
    for (const auto& [path, what] : wanted)
      BOOST_TEST((found.contains(path) ? found.at(path) : "(absent)") == what, path);
    for (const auto& [path, what] : found) BOOST_TEST(wanted.contains(path), "too many: " << path);
    for (const char* command : {"status --porcelain=v2 -z --untracked-files=all", "diff --cached",
                                "diff", "ls-files --stage -z"})
      BOOST_TEST(s.repo.git_in(second, command) == s.git(command), command);
    BOOST_TEST((s.take().tree == taken.tree));  // what the cache says is what the disk says
  }
}

/// Whatever was done to it, a used worktree becomes what git makes.
void reuse(unsigned seed) {
  slot s([](const test_repo& r) {
    r.write(".gitignore", "*.o\n");
    r.write("a/b/c.txt", "c");
    r.write("b", "b");
    r.write("c.txt", "t");
  });
  s.repo.git("worktree remove '" + s.root.string() + "'");
  s.tree = must(git::add_worktree(*s.opened, s.root, task_branch, s.base, {}));
  std::string mine = task_branch;
  const auto fresh = s.repo.beside("fresh");
  s.repo.git("worktree add -q --detach '" + fresh.string() + "' " + s.base.hex());
  for (unsigned round = 0; round < 3; ++round) {
    git::snapshotter shots = s.open();
    mutator(s, seed + round).run(25);
    s.take(shots);
    mutator(s, seed + round + 7).run(2);  // nobody has looked since
    must(git::set_aside(*s.opened, s.tree, mine));
    mine = "refs/heads/remora/run/" + std::to_string(round);
    must(git::reuse_worktree(*s.opened, shots, mine, s.base, {}));
    BOOST_TEST(s.git("diff-files") == "");
    BOOST_TEST(s.git("status --porcelain --ignored") == "");
    BOOST_TEST(s.git("ls-files --stage") == s.repo.git_in(fresh, "ls-files --stage"));
    BOOST_TEST((listing(s.root) == listing(fresh)));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(restore_property)

BOOST_AUTO_TEST_CASE(a_reused_worktree_is_a_new_one) {
  for (unsigned seed = 1; seed <= 4; ++seed) BOOST_TEST_CONTEXT("seed " << seed) reuse(seed * 1000);
}

BOOST_AUTO_TEST_CASE(a_restored_worktree_is_the_one_that_was_taken) {
  for (unsigned seed = 1; seed <= 4; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) round_trip(seed * 1000);
  const char* replay = std::getenv("REMORA_TEST_SEED");
  const unsigned seed = replay ? static_cast<unsigned>(std::stoul(replay)) : std::random_device{}();
  BOOST_TEST_CONTEXT("seed " << seed) round_trip(seed);
}

BOOST_AUTO_TEST_SUITE_END()

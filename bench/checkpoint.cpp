// A durable checkpoint against what git needs for the same files: `git add -A` on a copied index,
// write-tree, commit-tree, update-ref. Each has a worktree of its own of one repository, and a
// warm cache: git's is the index of its previous checkpoint. remora's checkpoint holds more: both
// commits, a state, a transcript piece of 8 KB.
//
//   checkpoint [FILES [TURNS [DIRECTORY]]]     38000 15 /tmp
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "checkpoint_task.hpp"
#include "measure.hpp"
#include "sync_count.hpp"

namespace remora::bench {
namespace {
namespace fs = std::filesystem;

/// The same with git's commands. `options`: given to each of them.
class git_task {
 public:
  git_task(const fs::path& worktree, std::string ref, std::string_view options)
      : worktree_(worktree), ref_(std::move(ref)), shadow_(worktree.string() + ".index") {
    forget();
    script_ = fmt::format(
        "set -e; cd '{0}'; export GIT_INDEX_FILE='{1}.next'; cp '{1}' '{1}.next'; "
        "git {2} add -A; tree=$(git {2} write-tree); "
        "commit=$(git {2} commit-tree -p HEAD -m checkpoint $tree); "
        "git {2} update-ref {3} $commit; mv '{1}.next' '{1}'",
        worktree_.string(), shadow_, options, ref_);
  }

  void forget() {
    shell(fmt::format("cp \"$(git -C '{0}' rev-parse --absolute-git-dir)/index\" '{1}'",
                      worktree_.string(), shadow_));
  }
  void checkpoint() { shell(script_); }
  const std::string& script() const noexcept { return script_; }

 private:
  fs::path worktree_;
  std::string ref_;
  std::string shadow_;
  std::string script_;
};

/// Syncs of a command and its children, told by strace; nothing where that is not installed.
std::string traced_syncs(const std::string& script, const fs::path& scratch) {
  const fs::path log = scratch / "trace";
  std::ofstream(scratch / "script") << script;
  const std::string command =
      fmt::format("strace -f -qq -e trace=fsync,fdatasync,syncfs,sync -o '{}' sh '{}' 2>/dev/null",
                  log.string(), (scratch / "script").string());
  if (std::system(command.c_str()) != 0) return "-";
  std::ifstream in(log);
  int count = 0;
  for (std::string line; std::getline(in, line);)
    if (line.find("sync(") != line.npos || line.find("syncfs(") != line.npos) ++count;
  return std::to_string(count);
}

class program {
 public:
  program(std::size_t files, int turns, const fs::path& directory)
      : turns_(turns), scratch_(directory), repo_(scratch_.path() / "repo", files) {
    for (const char* name : {"remora", "git-durable", "git"}) repo_.add_worktree(tree(name));
    ours_.emplace(repo_.root(), tree("remora"), scratch_.path() / "attempt", "warm");
    durable_.emplace(tree("git-durable"), "refs/bench/durable", "-c core.fsync=all");
    plain_.emplace(tree("git"), "refs/bench/plain", "");
  }

  void run() {
    print_header(
        fmt::format("Checkpoint of {} files, median of {} turns", repo_.files().size(), turns_),
        {"what", "remora ms", "git, core.fsync=all ms", "git ms", "remora / durable git",
         "remora / git", "syncs of remora", "of durable git"});
    row("first of a worktree", 0, true);
    row("0 changed", 0, false);
    row("10 changed", 10, false);
    if (repo_.files().size() >= 1'000) row("1,000 changed", 1'000, false);
  }

 private:
  fs::path tree(std::string_view name) const { return scratch_.path() / name; }

  void change(std::string_view name, std::size_t count) {
    change_files(repo_, tree(name), count, ++seed_);
  }

  std::vector<contender> contenders(std::size_t changed, bool first) {
    return {{"remora",
             [=, this](int) {
               ours_->merge();
               if (first) ours_->start(fmt::format("first-{}", ++seed_));
               change("remora", changed);
             },
             [this](int) { ours_->checkpoint(); }},
            {"durable",
             [=, this](int) {
               if (first) durable_->forget();
               change("git-durable", changed);
             },
             [this](int) { durable_->checkpoint(); }},
            {"plain",
             [=, this](int) {
               if (first) plain_->forget();
               change("git", changed);
             },
             [this](int) { plain_->checkpoint(); }}};
  }

  void row(const std::string& name, std::size_t changed, bool first) {
    const auto all = contenders(changed, first);
    const auto durable = compare(all, 1, turns_, scratch_.path());
    all[0].prepare(0);
    const std::uint64_t before = syncs();
    all[0].run(0);
    const std::uint64_t ours = syncs() - before;
    all[1].prepare(0);
    const std::string theirs = traced_syncs(durable_->script(), scratch_.path());
    print_row({name, cell(durable[0].median_ms), cell(durable[1].median_ms),
               cell(durable[2].median_ms), cell(durable[0].ratio, 2),
               cell(durable[0].ratio / durable[2].ratio, 2), std::to_string(ours), theirs});
  }

  int turns_;
  scratch scratch_;
  sample_repository repo_;
  std::optional<remora_task> ours_;
  std::optional<git_task> durable_;
  std::optional<git_task> plain_;
  std::uint32_t seed_ = 0;
};

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  const remora::bench::arguments number(argc, argv);
  remora::bench::isolate_git();
  remora::git::initialise();
  remora::bench::program(static_cast<std::size_t>(number(1, 38'000)), number(2, 15),
                         argc > 3 ? argv[3] : "/tmp")
      .run();
  return 0;
} catch (const std::exception& e) {
  std::cerr << "checkpoint: " << e.what() << '\n';
  return 1;
}

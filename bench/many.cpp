// What many checkpoints of one task take and cost: bytes on the disk beside what is new in them,
// deflated; packs; reading the newest, listing all; and whether the user's own `git commit` packs.
//
//   many [MOST [FILES [DIRECTORY]]]     1000 2000 /tmp
#include <fmt/format.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <remora/agent/state.hpp>
#include <set>

#include "checkpoint_task.hpp"
#include "measure.hpp"

namespace remora::bench {
namespace {
namespace fs = std::filesystem;

constexpr std::size_t changed = 10;
constexpr std::size_t said_bytes = 8 << 10;

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// As a git with its own settings would store it.
std::uint64_t deflated(const std::string& bytes) {
  uLongf size = ::compressBound(bytes.size());
  std::string into(size, '\0');
  ::compress2(reinterpret_cast<Bytef*>(into.data()), &size,
              reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), Z_DEFAULT_COMPRESSION);
  return size;
}

class program {
 public:
  program(std::uint32_t most, std::size_t files, const fs::path& directory)
      : most_(most), scratch_(directory), repo_(scratch_.path() / "repo", files) {
    repo_.add_worktree(tree());
    task_.emplace(repo_.root(), tree(), scratch_.path() / "attempt", "many");
  }

  void run() {
    print_header(fmt::format("Checkpoints of {} changed files, {} KB of transcript and a state",
                             changed, said_bytes >> 10),
                 {"checkpoints", "our MB", "of what is new, deflated", "but the states", "packs",
                  "state, deflated KB", "newest read ms", "listed ms", "git commit packs"});
    for (std::uint32_t n = 1; n <= most_; ++n) {
      checkpoint(n);
      if (n == 100 || n == 200 || n == 1'000 || n == 10'000 || n == most_) row(n);
    }
  }

 private:
  fs::path tree() const { return scratch_.path() / "tree"; }
  fs::path packs() const { return repo_.root() / ".git/objects/pack"; }

  /// A turn of an agent: it says something, reads a file, and changes ten.
  void checkpoint(std::uint32_t n) {
    const std::vector<std::string> names = change_files(repo_, tree(), changed, n);
    const std::string said = sample_text(1'000'000 + n, said_bytes);
    mind_.apply(agent::message{said.substr(0, 400)});
    mind_.apply(agent::tool_call{fmt::format("call-{}", n), "edit",
                                 boost::json::value(names.front()), true});
    mind_.apply(agent::tool_result{fmt::format("call-{}", n), true, said.substr(400, 1'000)});
    for (const std::string& name : names) {
      mind_.apply(agent::file_change{name, "modified", true, std::nullopt});
      new_bytes_ += deflated(bytes_of(tree() / name));
    }
    mind_.apply(agent::turn_ended());
    new_bytes_ += deflated(said);
    task_->checkpoint(mind_.to_json(), said);
    task_->merge();
  }

  void row(std::uint32_t n) {
    std::uint64_t ours = 0;
    std::set<std::string> stems;
    for (const auto& entry : fs::directory_iterator(packs())) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("pack-72656d6f7261")) continue;
      ours += entry.file_size();
      stems.insert(entry.path().stem());
    }
    std::vector<double> read, listed;
    for (int i = 0; i < 5; ++i) {
      read.push_back(milliseconds_of([&] { task_->read_newest(); }));
      listed.push_back(milliseconds_of([&] { task_->list(); }));
    }
    print_row({std::to_string(n), cell(static_cast<double>(ours) / 1e6),
               cell(static_cast<double>(ours) / static_cast<double>(new_bytes_), 2),
               cell(static_cast<double>(ours - states()) / static_cast<double>(new_bytes_), 2),
               std::to_string(stems.size()),
               cell(static_cast<double>(deflated(mind_.to_json())) / 1024), cell(median(read)),
               cell(median(listed)), user_commits() ? "yes" : "no"});
  }

  /// The bytes that they take in packs.
  std::uint64_t states() const {
    const fs::path sum = scratch_.path() / "sum";
    shell(
        fmt::format("cd '{}' && git rev-list --objects --all | sed -n 's/ state.json$//p' | "
                    "git cat-file --batch-check='%(objectsize:disk)' | awk '{{n += $1}} END "
                    "{{print n}}' > '{}'",
                    repo_.root().string(), sum.string()));
    return std::stoull(bytes_of(sum));
  }

  /// With git's own settings; true: something was packed.
  bool user_commits() const {
    const fs::path trace = scratch_.path() / "trace";
    shell(
        fmt::format("env -u GIT_CONFIG_COUNT GIT_TRACE='{}' git -C '{}' -c gc.autoDetach=false "
                    "commit -q --allow-empty -m user 2> /dev/null",
                    trace.string(), repo_.root().string()));
    const std::string said = bytes_of(trace);
    fs::remove(trace);
    return said.find("pack-objects") != said.npos || said.find("repack") != said.npos;
  }

  std::uint32_t most_;
  scratch scratch_;
  sample_repository repo_;
  std::optional<remora_task> task_;
  agent::state mind_{"20260102-000000-27ab", "many", "Do it."};
  std::uint64_t new_bytes_ = 0;
};

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  const remora::bench::arguments number(argc, argv);
  remora::bench::isolate_git();
  remora::git::initialise();
  remora::bench::program(static_cast<std::uint32_t>(number(1, 1'000)),
                         static_cast<std::size_t>(number(2, 2'000)), argc > 3 ? argv[3] : "/tmp")
      .run();
  return 0;
} catch (const std::exception& e) {
  std::cerr << "many: " << e.what() << '\n';
  return 1;
}

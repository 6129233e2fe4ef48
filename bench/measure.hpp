// What the benchmarks share: paired measurements, medians, a table, and a repository to work in.
// A machine is noisy, and its noise comes in waves: things that are compared are measured in turns
// (A B C A B C …), and a ratio is the median of the ratios within a turn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace remora::bench {

/// One of the things that are compared. `prepare` is not timed.
struct contender {
  std::string name;
  std::function<void(int turn)> prepare;
  std::function<void(int turn)> run;
};

struct measured {
  std::string name;
  double median_ms = 0;
  double least_ms = 0;
  double ratio = 1;  ///< the median of (mine / the reference's) over the turns
};

double median(std::vector<double> values);

/// Milliseconds that `work` takes.
double milliseconds_of(const std::function<void()>& work);

/// Each in turn, `turns` times, after one turn that is not counted. All others are compared to
/// `contenders[reference]`. Before each measurement the file system of `disk` is synced, so that
/// nobody pays for what another one left unwritten.
std::vector<measured> compare(const std::vector<contender>& contenders, std::size_t reference,
                              int turns, const std::filesystem::path& disk);

void print_header(std::string_view title, const std::vector<std::string>& columns);
void print_row(const std::vector<std::string>& cells);
std::string cell(double value, int digits = 1);

/// Runs `sh -c script`; ends the program where that fails: a benchmark has nothing to measure then.
void shell(const std::string& script);

/// Lines that compress about as well as source text does: so many bytes, or a few more.
std::string sample_text(std::uint32_t seed, std::size_t bytes);

/// Removed with all that is in it.
class scratch {
 public:
  /// Below `where`: what is measured depends on the file system.
  explicit scratch(const std::filesystem::path& where);
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch();
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// A repository of text files of 0.2 to 8 KB, 15 to a directory, three levels deep, always the
/// same; all objects in one pack, as after a clone.
class sample_repository {
 public:
  sample_repository(const std::filesystem::path& root, std::size_t files);
  /// A clone of another one; `files` are its regular ones at HEAD.
  sample_repository(const std::filesystem::path& root, const std::filesystem::path& source);
  const std::filesystem::path& root() const noexcept { return root_; }
  const std::vector<std::string>& files() const noexcept { return files_; }
  void add_worktree(const std::filesystem::path& where) const;

 private:
  std::filesystem::path root_;
  std::vector<std::string> files_;
};

/// Gives `count` of the files, spread over all of them and others in each turn, content that was
/// never there before. Their names.
std::vector<std::string> change_files(const sample_repository& repo,
                                      const std::filesystem::path& worktree, std::size_t count,
                                      std::uint32_t seed);

/// Numbers of a command line, each with what it is where it is left out.
class arguments {
 public:
  arguments(int argc, char** argv) : list_(argv, argv + argc) {}
  /// Throws where it is not a number above zero.
  int operator()(std::size_t at, int otherwise) const;

 private:
  std::vector<std::string> list_;
};

/// No configuration but ours, and no collection in the background; for this process and its
/// children.
void isolate_git();

}  // namespace remora::bench

#include "measure.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <remora/core/posix.hpp>
#include <stdexcept>

namespace remora::bench {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t files_in_directory = 15;
constexpr std::size_t least_bytes = 200;
constexpr std::size_t most_bytes = 8'000;

std::string text_of(std::uint32_t seed) {
  std::minstd_rand random(seed + 1);
  return sample_text(seed, least_bytes + random() % (most_bytes - least_bytes));
}

void write(const fs::path& file, std::string_view text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string path_of(std::size_t file) {
  const std::size_t leaf = file / files_in_directory;
  return fmt::format("module{:02}/part{:02}/unit{}/source_{:05}.cpp", leaf / 250, leaf / 10 % 25,
                     leaf % 10, file);
}

void sync_disk(const fs::path& disk) {
  const auto fd = open_file(disk, O_RDONLY | O_DIRECTORY);
  if (!fd || ::syncfs(fd->get()) != 0) throw std::runtime_error("cannot sync " + disk.string());
}

}  // namespace

std::string sample_text(std::uint32_t seed, std::size_t bytes) {
  static constexpr const char* words[] = {"return", "const",  "result", "value", "if",    "stream",
                                          "node",   "parse",  "for",    "auto",  "size",  "open",
                                          "write",  "buffer", "begin",  "end",   "index", "while"};
  std::minstd_rand random(seed + 1);
  std::string text;
  while (text.size() < bytes) {
    text += words[random() % std::size(words)];
    text += random() % 8 == 0 ? fmt::format(" {:x};\n  ", random()) : std::string(" ");
  }
  return text;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double milliseconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

std::vector<measured> compare(const std::vector<contender>& contenders, std::size_t reference,
                              int turns, const fs::path& disk) {
  std::vector<std::vector<double>> taken(contenders.size());
  for (int turn = 0; turn <= turns; ++turn)
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      if (contenders[i].prepare) contenders[i].prepare(turn);
      sync_disk(disk);
      const double ms = milliseconds_of([&] { contenders[i].run(turn); });
      if (turn > 0) taken[i].push_back(ms);
    }
  std::vector<measured> all;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::vector<double> ratios;
    for (std::size_t turn = 0; turn < taken[i].size(); ++turn)
      ratios.push_back(taken[i][turn] / taken[reference][turn]);
    all.push_back({contenders[i].name, median(taken[i]),
                   *std::min_element(taken[i].begin(), taken[i].end()), median(ratios)});
  }
  return all;
}

void print_header(std::string_view title, const std::vector<std::string>& columns) {
  std::cout << '\n' << title << "\n\n";
  print_row(columns);
  print_row(std::vector<std::string>(columns.size(), "---"));
}

void print_row(const std::vector<std::string>& cells) {
  for (const std::string& c : cells) std::cout << "| " << c << ' ';
  std::cout << '|' << std::endl;
}

std::string cell(double value, int digits) {
  return fmt::format("{:.{}f}", value, digits);
}

void shell(const std::string& script) {
  if (const int status = std::system(script.c_str()); status != 0)
    throw std::runtime_error(fmt::format("status {} of: {}", status, script));
}

scratch::scratch(const fs::path& where) {
  std::string name = (where / "remora-bench-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a directory in " + name);
  path_ = name;
}

scratch::~scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

sample_repository::sample_repository(const fs::path& root, std::size_t files) : root_(root) {
  for (std::size_t i = 0; i < files; ++i) {
    files_.push_back(path_of(i));
    if (i % files_in_directory == 0) fs::create_directories((root / files_.back()).parent_path());
    write(root / files_.back(), text_of(static_cast<std::uint32_t>(i)));
  }
  shell(
      fmt::format("cd '{}' && git init -q -b main && git add -A && git commit -q -m base && "
                  "git repack -adq",
                  root.string()));
}

sample_repository::sample_repository(const fs::path& root, const fs::path& source) : root_(root) {
  shell(
      fmt::format("git clone -q --no-hardlinks '{}' '{}' && cd '{}' && "
                  "git ls-files -s | sed -n 's/^100644 [^\t]*\t//p' > '{}.files'",
                  source.string(), root.string(), root.string(), root.string()));
  std::ifstream list(root.string() + ".files");
  for (std::string line; std::getline(list, line);)
    if (!line.starts_with('"')) files_.push_back(line);
}

void sample_repository::add_worktree(const fs::path& where) const {
  shell(fmt::format("git -C '{}' worktree add -q --detach '{}'", root_.string(), where.string()));
}

std::vector<std::string> change_files(const sample_repository& repo, const fs::path& worktree,
                                      std::size_t count, std::uint32_t seed) {
  std::vector<std::string> names;
  const std::size_t step = count == 0 ? 0 : repo.files().size() / count;
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back(repo.files()[i * step + seed % step]);
    write(worktree / names.back(),
          fmt::format("{}\n// {} {}\n", text_of(seed * 31 + static_cast<std::uint32_t>(i)), seed,
                      worktree.filename().string()));
  }
  return names;
}

int arguments::operator()(std::size_t at, int otherwise) const {
  if (at >= list_.size()) return otherwise;
  const std::string& text = list_[at];
  int value = 0;
  const auto [end, why] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (why == std::errc() && end == text.data() + text.size() && value > 0) return value;
  throw std::invalid_argument("'" + text + "' is not a number above zero");
}

void isolate_git() {
  for (const auto& [name, value] : {std::pair{"GIT_CONFIG_GLOBAL", "/dev/null"},
                                    {"GIT_CONFIG_NOSYSTEM", "1"},
                                    {"GIT_AUTHOR_NAME", "bench"},
                                    {"GIT_AUTHOR_EMAIL", "bench@localhost"},
                                    {"GIT_COMMITTER_NAME", "bench"},
                                    {"GIT_COMMITTER_EMAIL", "bench@localhost"},
                                    {"GIT_CONFIG_COUNT", "1"},
                                    {"GIT_CONFIG_KEY_0", "gc.auto"},
                                    {"GIT_CONFIG_VALUE_0", "0"}})
    ::setenv(name, value, 1);
}

}  // namespace remora::bench

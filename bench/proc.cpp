#include "proc.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace remora::bench {
namespace {

/// What follows the name in /proc/PID/stat: `state` and on.
std::vector<std::string> stat_of(int pid) {
  const std::string text = read_proc(pid, "stat");
  const std::size_t name_end = text.rfind(')');
  if (name_end == text.npos) return {};
  std::istringstream in(text.substr(name_end + 1));
  std::vector<std::string> fields;
  for (std::string field; in >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values.at(static_cast<std::size_t>(part * static_cast<double>(values.size() - 1)));
}

std::string read_proc(int pid, const char* file) {
  std::ifstream in(fmt::format("/proc/{}/{}", pid, file), std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

memory_use memory_of(int pid) {
  memory_use use;
  std::istringstream in(read_proc(pid, "smaps_rollup"));
  for (std::string line; std::getline(in, line);) {
    const auto kib = [&](const char* key) {
      return line.starts_with(key) ? std::atof(line.c_str() + std::string(key).size()) : 0.0;
    };
    use.resident += kib("Rss:");
    use.share += kib("Pss:");
    use.alone += kib("Private_Clean:") + kib("Private_Dirty:");
  }
  return use;
}

double cpu_seconds(int pid) {
  const auto stat = stat_of(pid);
  if (stat.size() < 13) return 0;
  return (std::stod(stat[11]) + std::stod(stat[12])) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::vector<int> processes() {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc"))
    if (const int pid = std::atoi(entry.path().filename().c_str()); pid > 0) pids.push_back(pid);
  return pids;
}

std::vector<int> children(int parent, const std::string& state) {
  std::vector<int> pids;
  for (const int pid : processes())
    if (const auto stat = stat_of(pid);
        stat.size() > 1 && stat[1] == std::to_string(parent) && (state.empty() || stat[0] == state))
      pids.push_back(pid);
  return pids;
}

}  // namespace remora::bench

// What benchmarks ask /proc about processes.
#pragma once

#include <string>
#include <vector>

namespace remora::bench {

/// The value below which `part` of them are; throws where there is none.
double percentile(std::vector<double> values, double part);

/// A file of /proc; empty where its process is gone.
std::string read_proc(int pid, const char* file);

/// KiB, as smaps_rollup has them: what a process has in memory, its share of it where others use
/// the same pages, and what nobody else uses. Without page tables and the kernel's own.
struct memory_use {
  double resident = 0;  // RSS
  double share = 0;     // PSS
  double alone = 0;     // USS
};
memory_use memory_of(int pid);

/// User and system, in units of the kernel's clock.
double cpu_seconds(int pid);

/// All that there are.
std::vector<int> processes();
/// Of `parent`; those that are in `state` only, where one is given.
std::vector<int> children(int parent, const std::string& state = {});

}  // namespace remora::bench

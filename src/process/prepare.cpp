#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <remora/core/text.hpp>
#include <remora/process/host.hpp>

#include "process/descriptor_limit.hpp"

namespace remora::process {

namespace {

rlim_t soft_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::optional<rlim_t> limit_at_start;

/// Counted: a start takes thirteen, and a git worker that reads packs a few more. Before the first
/// one there are the standard streams, the loop's, the journal, locks and objects.
constexpr rlim_t descriptors_of_an_agent = 17;
constexpr rlim_t descriptors_of_a_run = 48;

}  // namespace

std::uint64_t inherited_descriptor_limit() {
  return limit_at_start.value_or(soft_limit());
}

void prepare_this_process() {
  if (!limit_at_start) limit_at_start = soft_limit();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint32_t affordable_agents() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t rest = limit.rlim_max - std::min(limit.rlim_max, descriptors_of_a_run);
  const rlim_t agents = std::max<rlim_t>(rest / descriptors_of_an_agent, 1);
  return static_cast<std::uint32_t>(
      std::min<rlim_t>(agents, std::numeric_limits<std::uint32_t>::max()));
}

result<std::filesystem::path> find_shim() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::filesystem::path directory = self.parent_path();
  std::vector<std::filesystem::path> candidates{directory / "remora-shim"};
  if (const char* named = ::getenv("REMORA_SHIM"); named && *named) candidates.emplace_back(named);
  candidates.push_back(directory.parent_path() / "libexec" / "remora-shim");
  for (const auto& candidate : candidates)
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  return fail(
      errc::environment,
      fmt::format("cannot find remora-shim in {} or {}: install it there or set REMORA_SHIM",
                  to_utf8(directory.string()), to_utf8(candidates.back().parent_path().string())));
}

}  // namespace remora::process

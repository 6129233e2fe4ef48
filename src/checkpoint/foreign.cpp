#include <remora/checkpoint/foreign.hpp>

#include <fmt/format.h>

namespace remora::checkpoint {

std::string foreign_refs(const run_id& run, const task_id& task) {
  return fmt::format("refs/remora/foreign/{}/{}/", run.str(), task.str());
}

result<std::string> keep_aside(git::repository& repo, const std::string& prefix,
                               const git::oid& commit) {
  std::string name = prefix + commit.hex().substr(0, 12);
  const auto set = repo.swap_ref(name, git::oid(), commit);
  if (set) return name;
  if (!set.error().is(errc::ref_moved)) return set.error();
  REMORA_TRY(const auto holds, repo.read_ref(name));
  if (holds != commit) return set.error();
  return name;
}

}  // namespace remora::checkpoint

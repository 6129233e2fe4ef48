#include <fmt/format.h>

#include <algorithm>
#include <remora/checkpoint/record.hpp>

#include "checkpoint/damage.hpp"

namespace remora::checkpoint {
namespace {

/// A trailer that names a commit which is not a parent would let it be collected.
result<void> check_parents(const record& r, const std::vector<git::oid>& parents) {
  const auto check = [&](std::string_view what, const git::oid& id) -> result<void> {
    if (std::find(parents.begin(), parents.end(), id) != parents.end()) return {};
    return fail(errc::corrupt,
                fmt::format("its {} commit {} is not among its parents", what, id.hex()));
  };
  REMORA_CHECK(check("files", r.files));
  if (r.previous) REMORA_CHECK(check("previous", *r.previous));
  for (const git::oid& id : r.keep) REMORA_CHECK(check("kept", id));
  return {};
}

result<record> read(const git::repository& repo, const git::oid& commit) {
  auto info = repo.read_commit(commit);
  if (!info) {
    if (repo.read_tree(commit) || repo.read_blob(commit))
      return fail(errc::foreign, "it is no commit, so nothing of ours");
    return damage(info.error());
  }
  REMORA_TRY(record r, parse_record_message(info->message));
  REMORA_CHECK(check_parents(r, info->parents));
  auto files = repo.read_commit(r.files);
  if (!files)
    return damage(within(fmt::format("its files commit {}", r.files.hex()), files.error()));
  r.seconds = info->author.seconds;
  r.commit = commit;
  r.mind = info->tree;
  r.files_tree = files->tree;
  return r;
}

}  // namespace

result<record> read_record(const git::repository& repo, const git::oid& commit) {
  auto r = read(repo, commit);
  if (!r) return within(fmt::format("checkpoint record {}", commit.hex()), r.error());
  return r;
}

std::string wip_ref(const run_id& run, const task_id& task) {
  return fmt::format("refs/remora/wip/{}/{}", run.str(), task.str());
}

std::string wip_branch(const run_id& run, const task_id& task) {
  return fmt::format("refs/heads/remora-wip/{}/{}", run.str(), task.str());
}

std::string task_branch(const run_id& run, const task_id& task) {
  return fmt::format("refs/heads/remora/{}/{}", run.str(), task.str());
}

std::string run_ref(const run_id& run) {
  return fmt::format("refs/remora/runs/{}", run.str());
}

}  // namespace remora::checkpoint

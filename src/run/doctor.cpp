#include <remora/run/doctor.hpp>

#include <fmt/format.h>

#include <remora/run/leftovers.hpp>

#include "run/doctor_parts.hpp"

namespace remora::run {
namespace {

finding of_leftover(const leftover& l) {
  finding f{.kind = l.kind, .subject = l.subject, .text = l.text, .remedy = "it is removed"};
  f.fix = [remove = l.remove, subject = l.subject](git::repository& repo) -> result<std::string> {
    REMORA_TRY(const bool removed, remove(repo));
    return removed ? fmt::format("removed {}", subject) : std::string();
  };
  return f;
}

}  // namespace

std::optional<run_fold> fold_of(const git::repository& repo, const run_id& run) {
  const auto contents = read_journal(run_layout(repo.common_dir(), run).journal());
  if (!contents || contents->records.empty()) return std::nullopt;
  return fold_records(contents->records);
}

result<std::optional<run_lock>> own_run(const git::repository& repo, const run_id& run) {
  const run_layout layout(repo.common_dir(), run);
  std::error_code ec;
  if (!std::filesystem::exists(layout.root, ec)) return std::optional<run_lock>();
  REMORA_TRY(run_lock lock, run_lock::take(layout));
  return std::optional(std::move(lock));
}

std::vector<finding> examine(git::repository& repo) {
  findings found;
  examine_broken_refs(repo, found);
  examine_machine(repo, found);
  examine_runs(repo, found);
  for (const leftover& l : find_leftovers(repo, thoroughness::all)) found.push_back(of_leftover(l));
  examine_checkpoints(repo, found);
  examine_worktrees(repo, found);
  return found;
}

}  // namespace remora::run

// Finding records: the newest, the ones before it, all.
#include <fmt/format.h>

#include <algorithm>
#include <remora/checkpoint/store.hpp>

#include "checkpoint/complete.hpp"

namespace remora::checkpoint {
namespace {

bool belongs(const record& r, const run_id& run, const task_id& task) {
  return r.run == run && r.task == task;
}

/// The newest sound record from `tip` on; nothing where the chain ends, leaves the task or breaks.
result<std::optional<record>> first_sound(const git::repository& repo, const git::oid& tip,
                                          const run_id& run, const task_id& task) {
  for (std::optional<git::oid> at = tip; at;) {
    auto r = read_record(repo, *at);
    if (!r || !belongs(*r, run, task)) break;
    REMORA_TRY(const bool sound, is_complete(repo, *r, std::nullopt));
    if (sound) return std::optional(std::move(*r));
    at = r->previous;
  }
  return std::optional<record>();
}

}  // namespace

result<std::optional<record>> store::newest(const run_id& run, const task_id& task) const {
  const std::string ref = wip_ref(run, task);
  REMORA_TRY(const auto tip, repo_.read_ref(ref));
  if (!tip) return std::optional<record>();
  auto r = read_record(repo_, *tip);
  if (!r) return within(ref, r.error());
  if (!belongs(*r, run, task))
    return fail(errc::foreign, fmt::format("{} holds a checkpoint of {} in run {}", ref,
                                           r->task.str(), r->run.str()));
  return std::optional(std::move(*r));
}

result<record> store::newest_readable(const run_id& run, const task_id& task,
                                      std::span<const git::oid> known) const {
  const std::string ref = wip_ref(run, task);
  std::vector<git::oid> tips;
  if (const auto tip = repo_.read_ref(ref); tip && *tip) tips.push_back(**tip);
  tips.insert(tips.end(), known.begin(), known.end());
  if (tips.empty()) return fail(errc::no_match, fmt::format("{} holds no checkpoint", ref));
  for (const git::oid& tip : tips) {
    REMORA_TRY(auto found, first_sound(repo_, tip, run, task));
    if (found) return std::move(*found);
  }
  return fail(errc::corrupt,
              fmt::format("no checkpoint of {} in run {} can be read: {} is damaged, and only it "
                          "and the run's journal name the ones before it",
                          task.str(), run.str(), tips.front().hex()));
}

result<std::vector<record>> store::history(const run_id& run, const task_id& task) const {
  std::vector<record> records;
  REMORA_TRY(auto r, newest(run, task));
  while (r) {
    const std::optional<git::oid> previous = r->previous;
    records.push_back(std::move(*r));
    r.reset();
    if (!previous) break;
    auto before = read_record(repo_, *previous);
    if (before && belongs(*before, run, task)) r = std::move(*before);
  }
  return records;
}

result<bool> store::is_sound(const git::oid& tip, const git::oid& base) const {
  return checkpoint::is_sound(repo_, tip, base);
}

result<bool> store::is_readable(const git::oid& commit) const {
  return checkpoint::is_readable(repo_, commit);
}

result<std::vector<std::pair<run_id, task_id>>> store::all() const {
  constexpr std::string_view prefix = "refs/remora/wip/";
  REMORA_TRY(const auto refs, repo_.list_refs(std::string(prefix)));
  std::vector<std::pair<run_id, task_id>> found;
  for (const git::ref_info& ref : refs) {
    const std::string_view name = std::string_view(ref.name).substr(prefix.size());
    const std::size_t slash = name.find('/');
    if (slash == name.npos) continue;
    auto run = run_id::parse(name.substr(0, slash));
    auto task = task_id::parse(name.substr(slash + 1));
    if (run && task) found.emplace_back(std::move(*run), std::move(*task));
  }
  return found;
}

}  // namespace remora::checkpoint

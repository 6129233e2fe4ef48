#include <remora/run/continuation.hpp>

namespace remora::run {
namespace {

/// Where the files can be read: the branch that people see, or the commit where the plan wants no
/// branch.
std::string readable_ref(const continuation_request& r) {
  if (!r.task.branch && !r.files.is_zero()) return r.files.hex();
  return checkpoint::wip_branch(r.run, r.task.id).substr(std::string_view("refs/heads/").size());
}

}  // namespace

std::string continuation(const continuation_request& r, const task_changes* changes) {
  agent::continuation_input in;
  in.task_prompt = r.task.prompt;
  in.rules = r.what.rules;
  in.attempt = r.attempt;
  const bool told = !r.mind.attempts().empty() && r.mind.attempts().back().ended_with;
  in.last = told ? *r.mind.attempts().back().ended_with : r.last;
  in.wall = std::min(r.task.limits.wall, r.wall.value_or(r.task.limits.wall));
  in.memory_bytes = r.task.tree.memory_bytes;
  in.mind = &r.mind;
  in.ref = readable_ref(r);
  in.base = r.base.hex();
  in.head_note = r.head_note;
  in.in_place = r.in_place;
  in.fence = r.fence;
  in.brief = r.task.brief;
  if (!changes) return agent::continuation(in);
  for (const git::changed_file& f : changes->summary.files)
    in.changed.push_back({f.path, f.status, f.insertions, f.deletions});
  in.diff = changes->patch.text;
  in.diff_truncated = changes->patch.truncated;
  return agent::continuation(in);
}

}  // namespace remora::run

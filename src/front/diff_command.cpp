#include <ostream>
#include <remora/git/diff.hpp>

#include "front/render.hpp"

namespace remora::front {

result<int> diff_command(session& s, const std::string& selector) {
  REMORA_TRY(const task_in_repository t, open_task(s, selector));
  REMORA_CHECK(no_checkpoint(t.what, selector));
  REMORA_TRY(const run::run_view view, run::load_run(t.repo, t.what.run));
  const run::task_fold& fold = view.fold.tasks.at(t.task.str());
  REMORA_TRY(auto tip, t.repo.read_ref(checkpoint::wip_branch(t.what.run, t.task)));
  if (!fold.published.is_zero())
    tip = fold.published;
  else if (const auto commit = git::oid::parse(json_text(fold.ended, "commit")))
    tip = *commit;
  if (!tip) return fail(errc::no_match, "nothing is saved of " + selector + " yet");
  git::oid base = fold.base;
  if (const auto recorded = git::oid::parse(json_text(fold.ended, "base"))) base = *recorded;
  REMORA_TRY(const git::commit_info from, t.repo.read_commit(base));
  REMORA_TRY(const git::commit_info to, t.repo.read_commit(*tip));
  REMORA_TRY(const git::diff_text patch,
             git::diff_patch(t.repo, from.tree, to.tree, std::size_t{1} << 30));
  s.out << patch.text;
  return 0;
}

}  // namespace remora::front

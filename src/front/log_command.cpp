#include <fmt/format.h>

#include <ostream>

#include "front/follow.hpp"

namespace remora::front {

result<int> log_command(session& s, const log_options& o) {
  REMORA_TRY(const task_in_repository t, open_task(s, o.selector));
  REMORA_CHECK(no_checkpoint(t.what, o.selector));
  REMORA_TRY(const run::run_view view, run::load_run(t.repo, t.what.run));
  REMORA_TRY(const run::plan plan, run::recorded_plan(view.fold.started));
  if (o.follow && view.live) return follow_log(s, t, plan, o);
  if (o.follow)
    s.err << fmt::format("remora: nobody works on run {} now; this is what there is\n",
                         view.id.str());
  const run::task_fold& fold = view.fold.tasks.at(t.task.str());
  bool found = false;
  for (const run::attempt_fold& a : fold.attempts) {
    if (o.attempt != 0 && a.number.value() != o.attempt) continue;
    found = true;
    REMORA_TRY(const agent::adapter* adapter, adapter_of(plan, a));
    REMORA_TRY(const std::string bytes, read_transcript(t, a.number));
    attempt_log log(s, t, a, adapter, o.raw);
    log.feed(bytes);
    log.finish();
  }
  if (!found && o.attempt != 0)
    return fail(errc::no_match, fmt::format("task '{}' has no attempt {}; it has {}", t.task.str(),
                                            o.attempt, fold.attempts.size()));
  if (!found)
    s.err << fmt::format("remora: no attempt of task '{}' has started yet\n", t.task.str());
  return 0;
}

}  // namespace remora::front

#include "front/render.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace remora::front {

std::string short_time(std::string_view t) {
  if (t.size() < 16) return std::string(t);
  return fmt::format("{} {}", t.substr(0, 10), t.substr(11, 5));
}

std::string time_of_day(std::string_view t, std::size_t size) {
  return std::string(t.substr(std::min<std::size_t>(11, t.size()), size));
}

std::string branch_name(std::string_view ref) {
  constexpr std::string_view heads = "refs/heads/";
  return std::string(ref.starts_with(heads) ? ref.substr(heads.size()) : ref);
}

result<void> no_checkpoint(const run::selection& what, const std::string& selector) {
  if (!what.checkpoint) return {};
  return fail(errc::usage, fmt::format("'{}' names a checkpoint, which this command does not take; "
                                       "leave out the @",
                                       selector));
}

result<task_in_repository> open_task(const session& s, const std::string& selector) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  REMORA_TRY(run::selection what, run::select(repo, selector));
  if (!what.task)
    return fail(errc::usage, fmt::format("'{}' names a run; name a task of it: {}/TASK", selector,
                                         what.run.str()));
  task_id task = *what.task;
  return task_in_repository{std::move(repo), std::move(what), std::move(task)};
}

result<checkpoint::record> open_checkpoint(task_in_repository& t, const checkpoint::store& store) {
  return run::find_checkpoint(store, t.what.run, t.task, t.what.checkpoint.value_or(-1));
}

}  // namespace remora::front

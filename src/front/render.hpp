// Small things that several commands print the same way. Private to the front.
#pragma once

#include <boost/json.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/front/commands.hpp>
#include <remora/run/engine.hpp>
#include <remora/run/view.hpp>

#include "front/columns.hpp"

namespace remora::front {

/// `2026-11-21 17:03`, from RFC 3339.
std::string short_time(std::string_view rfc3339);

/// `17:03:59.123`, the first `size` bytes of it; what there is of a record without a time.
std::string time_of_day(std::string_view rfc3339, std::size_t size);

/// `remora/…`, as `git merge` takes it, from `refs/heads/remora/…`.
std::string branch_name(std::string_view ref);

/// What `run --dry-run` says: `remora.preview/1`, a line a task; or text.
void print_preview(session& s, const run::plan& p, const run::run_preview& view);

/// errc::usage for a selection with `@N`, where that means nothing.
result<void> no_checkpoint(const run::selection& what, const std::string& selector);

/// The repository of a session, and the selection in it, which must name a task.
struct task_in_repository {
  git::repository repo;
  run::selection what;
  task_id task;
};
result<task_in_repository> open_task(const session& s, const std::string& selector);

/// The checkpoint that a selection names; the newest if it names none.
result<checkpoint::record> open_checkpoint(task_in_repository& t, const checkpoint::store& store);

}  // namespace remora::front

// Small things that several commands print the same way. Private to the front.
#pragma once

#include <boost/json.hpp>
#include <remora/front/commands.hpp>
#include <remora/run/view.hpp>

namespace remora::front {

std::string json_text(const boost::json::object& o, std::string_view key);
std::int64_t json_integer(const boost::json::object& o, std::string_view key);

/// `2026-11-21 17:03`, from RFC 3339.
std::string short_time(std::string_view rfc3339);

/// A text in at least `width` columns (a code point counted as one).
std::string pad(std::string_view text, std::size_t width);

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

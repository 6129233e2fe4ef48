#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <remora/core/text.hpp>
#include <remora/front/printer.hpp>

#include "front/columns.hpp"

namespace remora::front {
namespace {

constexpr std::size_t narrow = 60;  // columns; below, only the task and what happens to it

struct look {
  const char* mark;
  fmt::terminal_color color;
};

look look_of(const run::task_fold& t) {
  if (t.outcome() == "succeeded") return {"✓", fmt::terminal_color::green};
  if (t.has_ended() && t.outcome() == "interrupted") return {"‖", fmt::terminal_color::yellow};
  if (t.has_ended()) return {"✗", fmt::terminal_color::red};
  if (t.phase == "queued") return {"·", fmt::terminal_color::bright_black};
  return {"▶", fmt::terminal_color::cyan};
}

std::string verdict_text(const run::attempt_fold& a) {
  return a.detail.empty() ? a.verdict : fmt::format("{} ({})", a.verdict, a.detail);
}

std::string what_happens(const run::task_fold& t) {
  if (t.has_ended()) {
    const std::string last = t.attempts.empty() ? "" : verdict_text(t.attempts.back());
    return last.empty() || t.outcome() == "succeeded" ? t.outcome()
                                                      : fmt::format("{}: {}", t.outcome(), last);
  }
  std::string line = t.phase;
  if (t.attempts.size() > 1) line += ", after " + verdict_text(t.attempts[t.attempts.size() - 2]);
  if ((t.phase == "running" || t.phase == "retrying") && !t.last_event.empty())
    line += " | " + t.last_event;
  return line;
}

bool is_active(const run::task_fold& t) {
  return !t.has_ended() && t.phase != "queued";
}

std::string counts(const run::run_fold& fold) {
  std::size_t active = 0, succeeded = 0, bad = 0, waiting = 0;
  for (const auto& [id, t] : fold.tasks)
    ++(is_active(t)                 ? active
       : !t.has_ended()             ? waiting
       : t.outcome() == "succeeded" ? succeeded
                                    : bad);
  return fmt::format("{} tasks: {} running, {} waiting, {} succeeded, {} not", fold.tasks.size(),
                     active, waiting, succeeded, bad);
}

}  // namespace

std::vector<std::string> table_lines(const run::run_fold& fold, screen size, bool color) {
  const bool all = fold.order.size() <= size.rows;
  std::size_t id_width = 0;
  for (const std::string& id : fold.order) id_width = std::max(id_width, id.size());
  id_width = std::min(id_width, size.columns < narrow ? size.columns / 2 : size.columns / 3);
  std::vector<std::string> lines;
  for (const std::string& id : fold.order) {
    const run::task_fold& t = fold.tasks.at(id);
    if (!all && (!is_active(t) || lines.size() + 1 >= size.rows)) continue;
    const look l = look_of(t);
    std::string line = pad(fit(id, id_width), id_width);
    if (size.columns >= narrow)
      line += fmt::format("  attempt {:<2} {:>3} checkpoints", t.attempts.size(), t.checkpoints);
    line += "  " + one_line(what_happens(t), 400);
    const std::string mark = color ? fmt::format(fmt::fg(l.color), "{}", l.mark) : l.mark;
    lines.push_back(mark + ' ' + fit(line, size.columns > 3 ? size.columns - 3 : 0));
  }
  if (!all) lines.push_back(fit(counts(fold), size.columns - 1));
  return lines;
}

}  // namespace remora::front

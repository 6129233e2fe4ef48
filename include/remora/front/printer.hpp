// What a run looks like while it goes on: JSON lines, plain lines, or a live table. A view of the
// journal's records; a closed output never stops a run. Thread: the loop's.
#pragma once

#include <iosfwd>
#include <memory>
#include <remora/run/engine.hpp>
#include <string>
#include <vector>

namespace remora::front {

class printer {
 public:
  virtual ~printer() = default;
  virtual void show(const run::record& r) = 0;
  /// The last words, once the run is over.
  virtual void close(const run::run_summary& s) = 0;
};

/// `remora.event/1`, one object a line.
std::unique_ptr<printer> make_json_printer(std::ostream& out);
/// A line for each thing worth knowing: for pipes and logs.
std::unique_ptr<printer> make_plain_printer(std::ostream& out, std::ostream& err);
/// One line a task, redrawn in place.
std::unique_ptr<printer> make_live_printer(std::ostream& out, bool color);

struct screen {
  std::size_t columns = 80, rows = 24;
};
/// The table: a line a task, none wider than the screen. Where there are more tasks than rows,
/// those that run and, last, how many there are of each kind. Pure.
std::vector<std::string> table_lines(const run::run_fold& fold, screen size, bool color);

/// One event of docs/events-of-a-run.md. Records that only recovery needs give nothing.
std::string event_line(const std::string& run, const run::record& r);
/// Of an account that is paused or open again; any other record: empty.
std::string account_line(const run::record& r);

}  // namespace remora::front

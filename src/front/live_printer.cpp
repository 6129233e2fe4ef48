#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <limits>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/front/printer.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

/// Of the terminal, without the line that the cursor stands on.
screen terminal_size() {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return {known && size.ws_col > 20 ? size.ws_col : 80u,
          known && size.ws_row > 2 ? size.ws_row - 1u : 24u};
}

/// Each frame is one write over the previous one, line by line: nothing is blank in between.
class live_printer final : public printer {
 public:
  live_printer(std::ostream& out, bool color) : out_(out), color_(color) {}

  void show(const run::record& r) override {
    fold_.apply(r);
    if (r.type == "run_started")
      say(fmt::format("run {}: {} tasks from {}", json_text(r.payload, "run"), fold_.order.size(),
                      json_text(r.payload, "name")));
    if (r.type == "run_resumed") say(fmt::format("run {} goes on", json_text(r.payload, "run")));
    if (const std::string line = account_line(r); !line.empty()) say(line);
    if (r.type == "warning") {
      const std::string task = json_text(r.payload, "task");
      say(fmt::format("warning: {}{}", task.empty() ? "" : task + ": ",
                      json_text(r.payload, "text")));
    }
    draw(terminal_size());
  }

  void close(const run::run_summary& s) override {
    draw({terminal_size().columns, std::numeric_limits<std::size_t>::max()});
    out_ << fmt::format("run {}: {} succeeded, {} failed, {} interrupted, {} skipped\n", fold_.run,
                        s.succeeded, s.failed + s.cancelled, s.interrupted, s.skipped)
         << std::flush;
  }

 private:
  std::string to_top() const { return drawn_ > 0 ? fmt::format("\r\x1b[{}A", drawn_) : ""; }

  /// A line that stays, above the table.
  void say(std::string_view text) {
    out_ << to_top() << "\x1b[J" << printable(text) << '\n';
    drawn_ = 0;
    last_.clear();
  }

  void draw(screen size) {
    std::string frame;
    const auto lines = table_lines(fold_, size, color_);
    for (const std::string& line : lines) frame += line + "\x1b[K\n";
    if (frame == last_) return;
    // Without automatic wrapping a width that we misjudge costs a character, not the table.
    out_ << to_top() + "\x1b[?7l" + frame + "\x1b[J\x1b[?7h" << std::flush;
    drawn_ = lines.size();
    last_ = std::move(frame);
  }

  std::ostream& out_;
  bool color_;
  run::run_fold fold_;
  std::size_t drawn_ = 0;
  std::string last_;
};

}  // namespace

std::unique_ptr<printer> make_live_printer(std::ostream& out, bool color) {
  return std::make_unique<live_printer>(out, color);
}

}  // namespace remora::front

#include <fmt/color.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <ostream>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/front/printer.hpp>

namespace remora::front {
namespace {

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

/// Cut to `width` columns, a code point counted as one.
std::string fit(std::string_view line, std::size_t width) {
  std::string out;
  std::size_t columns = 0;
  for (const char c : line) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (begins && ++columns > width) break;
    out += c;
  }
  return out;
}

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

std::string what_happens(const run::task_fold& t) {
  if (t.has_ended()) {
    if (t.outcome() == "succeeded") return "succeeded";
    const std::string last = t.attempts.empty() ? "" : t.attempts.back().verdict;
    return last.empty() ? t.outcome() : fmt::format("{} ({})", t.outcome(), last);
  }
  std::string line = t.phase;
  if (t.attempts.size() > 1) {
    const run::attempt_fold& before = t.attempts[t.attempts.size() - 2];
    line += fmt::format(", after {}{}", before.verdict,
                        before.detail.empty() ? "" : fmt::format(" ({})", before.detail));
  }
  if (t.phase == "running" && !t.last_event.empty()) line += " | " + t.last_event;
  return line;
}

class live_printer final : public printer {
 public:
  live_printer(std::ostream& out, bool color) : out_(out), color_(color) {}

  void show(const run::record& r) override {
    fold_.apply(r);
    if (r.type == "warning") {
      erase();
      const boost::json::value* text = r.payload.if_contains("text");
      out_ << "warning: "
           << printable(text && text->is_string() ? std::string_view(text->get_string()) : "")
           << '\n';
    }
    draw();
  }

  void close(const run::run_summary& s) override {
    draw();
    out_ << fmt::format("run {}: {} succeeded, {} failed, {} interrupted, {} skipped\n", fold_.run,
                        s.succeeded, s.failed + s.cancelled, s.interrupted, s.skipped)
         << std::flush;
  }

 private:
  void erase() {
    if (drawn_ > 0) out_ << fmt::format("\x1b[{}A\x1b[J", drawn_);
    drawn_ = 0;
  }

  void draw() {
    erase();
    const std::size_t width = terminal_width();
    for (const std::string& id : fold_.order) {
      const run::task_fold& t = fold_.tasks.at(id);
      const look l = look_of(t);
      const std::string mark = color_ ? fmt::format(fmt::fg(l.color), "{}", l.mark) : l.mark;
      const std::string line = fmt::format("{:<16} attempt {:<2} {:>3} checkpoints  {}", id,
                                           t.attempts.size(), t.checkpoints, what_happens(t));
      out_ << mark << ' ' << fit(printable(line), width - 3) << '\n';
      ++drawn_;
    }
    out_ << std::flush;
  }

  std::ostream& out_;
  bool color_;
  run::run_fold fold_;
  std::size_t drawn_ = 0;
};

}  // namespace

std::unique_ptr<printer> make_live_printer(std::ostream& out, bool color) {
  return std::make_unique<live_printer>(out, color);
}

}  // namespace remora::front

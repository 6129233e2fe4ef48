// Any program: what it prints is what it says, and exit 0 is success.
#include <signal.h>

#include <remora/agent/failure.hpp>
#include <remora/core/text.hpp>

#include "builtin.hpp"
#include "tail.hpp"

namespace remora::agent {
namespace {

constexpr std::size_t line_bytes = 64 << 10;
constexpr std::size_t out_bytes = 16 << 10;
constexpr std::size_t outcome_bytes = 4 << 10;

class text_parser final : public parser {
 public:
  void out_line(std::string_view line, std::vector<event>& events) override {
    std::string text(head_bytes(line, line_bytes));
    text += '\n';
    events.emplace_back(message{std::move(text), true});
    append_line(out_, line, out_bytes);
  }

  void err_line(std::string_view line, std::vector<event>&) override { err_.append(line); }

  outcome conclude(const exit_status& status, std::vector<event>& events) override {
    const std::string_view said = tail_bytes(trim(out_), out_bytes);
    if (status.success()) {
      events.emplace_back(finished{true, std::string(said)});
      return make_outcome(verdict::completed, {}, tail_bytes(said, outcome_bytes));
    }
    const std::string err = err_.text();
    return outcome_of_exit(status, err.empty() ? tail_bytes(said, outcome_bytes) : err);
  }

 private:
  std::string out_;
  complaint err_;
};

class text_adapter final : public adapter {
 public:
  std::string_view name() const override { return "text"; }
  std::string_view default_command() const override { return {}; }
  int first_signal() const override { return SIGTERM; }
  std::chrono::milliseconds first_output_limit() const override { return {}; }
  std::unique_ptr<agent::parser> make_parser() const override {
    return std::make_unique<text_parser>();
  }
  agent::launch plan_launch(const agent_config& config, const launch_request& r) const override {
    return prompt_on_stdin(*this, config, r);
  }
};

}  // namespace

const adapter& text() {
  static const text_adapter instance;
  return instance;
}

}  // namespace remora::agent

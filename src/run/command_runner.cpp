#include "run/command_runner.hpp"

#include <fmt/format.h>

#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/io/deadline.hpp>

namespace remora::run {
namespace {

constexpr std::size_t output_kept = 4096;

void keep_tail(std::string& tail, std::string_view bytes) {
  tail += bytes;
  if (tail.size() > 2 * output_kept) tail.erase(0, tail.size() - output_kept);
}

}  // namespace

std::string command_outcome::text(const command_spec& spec) const {
  return timed_out ? fmt::format("not finished within {}", format_duration_exact(spec.timeout))
                   : status.text();
}

boost::asio::awaitable<result<command_outcome>> command_runner::run(command_spec command,
                                                                    process::spawn_spec spec) {
  if (killed_) co_return fail(errc::stopped, "the task was stopped");
  spec.argv = command.argv;
  auto started = co_await host_.start(std::move(spec));
  if (!started) co_return started.error();
  const std::unique_ptr<process::child> child = std::move(*started);
  running_ = child.get();
  child->close_stdin();
  if (killed_) child->kill();

  command_outcome outcome;
  io::deadline limit(timers_, [&] {
    outcome.timed_out = true;
    child->kill();
  });
  limit.set(timers_.now() + command.timeout);
  for (bool living = true; living;) {
    const process::child_event event = co_await child->next();
    if (const auto* out = std::get_if<process::out_bytes>(&event))
      keep_tail(outcome.output, out->bytes);
    if (const auto* err = std::get_if<process::err_bytes>(&event))
      keep_tail(outcome.output, err->bytes);
    if (const auto* exit = std::get_if<process::exited>(&event)) {
      outcome.status = exit->status;
      child->kill();  // whatever it left behind
    }
    if (const auto* empty = std::get_if<process::emptied>(&event)) outcome.end = *empty;
    living = !std::holds_alternative<process::emptied>(event);
  }
  running_ = nullptr;
  outcome.ok = outcome.status.success() && !outcome.timed_out;
  outcome.output = printable(tail_bytes(outcome.output, output_kept));
  co_return outcome;
}

void command_runner::kill() {
  killed_ = true;
  if (running_) running_->kill();
}

}  // namespace remora::run

#include <fmt/format.h>

#include <agent/ending.hpp>
#include <algorithm>
#include <charconv>
#include <remora/core/units.hpp>

namespace remora::agent {
namespace {

struct wording {
  agent::verdict verdict;
  bool by_us;  ///< the agent would have gone on
  std::string_view text;
};

constexpr wording wordings[] = {
    {verdict::completed, false, "it reported success"},
    {verdict::timed_out, true, "timed out"},
    {verdict::verify_failed, false, "it reported success, but the verification failed"},
    {verdict::failed, false, "its agent failed"},
    {verdict::crashed, false, "its agent crashed"},
    {verdict::context_full, false, "its context was full; read and print only what you need"},
    {verdict::overloaded, false, "the model was overloaded"},
    {verdict::network, false, "the network failed"},
    {verdict::rate_limited, false, "rate-limited"},
    {verdict::auth_failed, false, "its credentials were refused"},
    {verdict::refused, false, "the model refused"},
    {verdict::budget, true, "its budget was spent"},
    {verdict::setup_failed, false, "the setup of its worktree failed"},
    {verdict::spawn_failed, false, "its agent could not be started"},
    {verdict::no_progress, true, "it made no progress; try another way"},
    {verdict::interrupted, true, "interrupted"},
    {verdict::orphaned, false, "its orchestrator died"},
    {verdict::cancelled, true, "cancelled"},
};

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.:+-").find(c) != std::string_view::npos;
}

std::string in_words(const outcome& o) {
  const std::string& d = o.detail;
  if (d.empty() || d.size() > 40 || !std::all_of(d.begin(), d.end(), plain)) return {};
  if (o.verdict == verdict::failed) return "exit code " + d;
  if (o.verdict == verdict::rate_limited) return "until " + d;
  if (o.verdict == verdict::timed_out && d == "external") return "by a limit of somebody else";
  if (o.verdict == verdict::timed_out && d == "soft") return "wall; it had been asked to hand over";
  if (o.verdict == verdict::crashed && d == "oom") return "out of memory";
  if (o.verdict == verdict::crashed && d == "shim") return "its supervisor died";
  std::string words = d;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

}  // namespace

std::optional<std::chrono::milliseconds> lasted(const attempt_record& a) {
  const auto from = parse_iso8601(a.started), to = parse_iso8601(a.ended);
  if (!from || !to || *to < *from) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*to - *from);
}

std::string ending(std::uint32_t number, const outcome& o,
                   std::optional<std::chrono::milliseconds> lasted, std::uint64_t memory_bytes) {
  const auto* how = std::find_if(std::begin(wordings), std::end(wordings),
                                 [&](const wording& w) { return w.verdict == o.verdict; });
  // Nobody saw when an orphan ended.
  if (o.verdict == verdict::orphaned) lasted.reset();
  const std::string after = lasted ? " after " + format_duration(*lasted) : "";
  if (o.verdict == verdict::crashed && o.detail == "oom" && memory_bytes > 0)
    return fmt::format(
        "Attempt {} was ended{} by the kernel, because its processes together used more than "
        "memory: {}.",
        number, after, format_size_exact(memory_bytes));
  const std::string detail = in_words(o);
  return fmt::format("Attempt {} {}ended{}: {}{}.", number, how->by_us ? "was " : "", after,
                     how->text, detail.empty() ? "" : " (" + detail + ")");
}

}  // namespace remora::agent

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <remora/agent/failure.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

constexpr std::size_t read_bytes = 4 << 10;
constexpr std::size_t outcome_bytes = 4 << 10;

std::string lower(std::string_view text) {
  std::string out(head_bytes(text, read_bytes));
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

struct phrase {
  std::string_view text;
  error_kind kind;
};

/// In this order: `connection refused` is no refusal, and a 429's text may speak of a quota in
/// tokens. Sources: the captured CLIs, and the error codes of the APIs behind them.
constexpr std::array phrases = std::to_array<phrase>({
    {"prompt is too long", error_kind::context},
    {"prompt_too_long", error_kind::context},
    {"input is too long", error_kind::context},
    {"context window", error_kind::context},
    {"context length", error_kind::context},
    {"context_length", error_kind::context},
    {"contextwindow", error_kind::context},
    {"contextoverflow", error_kind::context},
    {"maximum context", error_kind::context},
    {"exceeds the maximum number of tokens", error_kind::context},
    {"request too large", error_kind::context},
    {"request_too_large", error_kind::context},
    {"usage policy", error_kind::refused},
    {"content policy", error_kind::refused},
    {"content_policy", error_kind::refused},
    {"content_filter", error_kind::refused},
    {"invalid api key", error_kind::auth},
    {"invalid_api_key", error_kind::auth},
    {"invalid x-api-key", error_kind::auth},
    {"incorrect api key", error_kind::auth},
    {"api key not valid", error_kind::auth},
    {"missing api key", error_kind::auth},
    {"authentication_failed", error_kind::auth},
    {"authentication_error", error_kind::auth},
    {"authentication failed", error_kind::auth},
    {"unauthorized", error_kind::auth},
    {"permission_error", error_kind::auth},
    {"not logged in", error_kind::auth},
    {"please run /login", error_kind::auth},
    {"oauth token", error_kind::auth},
    {"credit balance", error_kind::auth},
    {"billing_error", error_kind::auth},
    {"rate limit", error_kind::rate_limited},
    {"rate_limit", error_kind::rate_limited},
    {"ratelimit", error_kind::rate_limited},
    {"too many requests", error_kind::rate_limited},
    {"resource_exhausted", error_kind::rate_limited},
    {"quota", error_kind::rate_limited},
    {"usage limit", error_kind::rate_limited},
    {"session limit", error_kind::rate_limited},
    {"weekly limit", error_kind::rate_limited},
    {"hour limit", error_kind::rate_limited},
    {"hit your limit", error_kind::rate_limited},
    {"overloaded", error_kind::overloaded},
    {"service unavailable", error_kind::overloaded},
    {"internal server error", error_kind::overloaded},
    {"bad gateway", error_kind::overloaded},
    {"gateway timeout", error_kind::overloaded},
    {"connection error", error_kind::network},
    {"connectionrefused", error_kind::network},
    {"connection refused", error_kind::network},
    {"connection reset", error_kind::network},
    {"connection closed", error_kind::network},
    {"unable to connect", error_kind::network},
    {"econnrefused", error_kind::network},
    {"econnreset", error_kind::network},
    {"enotfound", error_kind::network},
    {"etimedout", error_kind::network},
    {"eai_again", error_kind::network},
    {"fetch failed", error_kind::network},
    {"other side closed", error_kind::network},
    {"socket hang up", error_kind::network},
    {"network error", error_kind::network},
    {"request timed out", error_kind::network},
});

std::optional<error_kind> kind_of_status(int status) {
  if (status == 401 || status == 402 || status == 403) return error_kind::auth;
  if (status == 408) return error_kind::network;
  if (status == 413) return error_kind::context;
  if (status == 429) return error_kind::rate_limited;
  // All of 5xx: the server's trouble, mostly brief; the CLI has already tried again.
  if (status >= 500 && status < 600) return error_kind::overloaded;
  return std::nullopt;
}

/// The three digits at `at`, if they stand alone.
int status_at(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == ':' || text[at] == '(')) ++at;
  if (at + 3 > text.size()) return 0;
  int status = 0;
  for (std::size_t i = at; i < at + 3; ++i) {
    if (text[i] < '0' || text[i] > '9') return 0;
    status = status * 10 + (text[i] - '0');
  }
  const bool alone =
      at + 3 == text.size() || !std::isalnum(static_cast<unsigned char>(text[at + 3]));
  return alone && status >= 400 && status < 600 ? status : 0;
}

/// A number anywhere may be part of an id: only where CLIs print a status.
int status_in(std::string_view lowered) {
  if (const int head = status_at(lowered, 0)) return head;
  for (const std::string_view mark : {"api error", "status", "status code", "http", "code", "("})
    for (std::size_t at = lowered.find(mark); at != lowered.npos; at = lowered.find(mark, at + 1)) {
      const std::size_t from = at + mark.size();
      if (mark == "(" && lowered.substr(from).find(')') != 3) continue;
      if (const int status = status_at(lowered, from)) return status;
    }
  return 0;
}

verdict verdict_of(error_kind k) {
  switch (k) {
    case error_kind::rate_limited:
      return verdict::rate_limited;
    case error_kind::overloaded:
      return verdict::overloaded;
    case error_kind::auth:
      return verdict::auth_failed;
    case error_kind::context:
      return verdict::context_full;
    case error_kind::network:
      return verdict::network;
    case error_kind::refused:
      return verdict::refused;
    case error_kind::other:
      break;
  }
  return verdict::failed;
}

}  // namespace

error_kind classify_error(int status, std::string_view text) {
  const std::string lowered = lower(text);
  if (status == 0) status = status_in(lowered);
  if (const auto kind = kind_of_status(status)) return *kind;
  for (const phrase& p : phrases)
    if (lowered.find(p.text) != lowered.npos) return p.kind;
  return error_kind::other;
}

outcome make_outcome(verdict v, std::string detail, std::string_view text) {
  // Cut before as well: printable text can be longer, and the input may be of any size.
  const std::string shown = printable(head_bytes(trim(text), outcome_bytes));
  return {v, std::move(detail), std::string(head_bytes(shown, outcome_bytes))};
}

outcome outcome_of(const agent_error& e, const exit_status& status) {
  if (e.kind == error_kind::other)
    return make_outcome(verdict::failed, fmt::format("{}", status.code.value_or(0)), e.text);
  const bool until = e.kind == error_kind::rate_limited && e.retry_at;
  return make_outcome(verdict_of(e.kind), until ? *e.retry_at : std::string(), e.text);
}

outcome outcome_of_exit(const exit_status& status, std::string_view text) {
  if (status.signal) return make_outcome(verdict::crashed, signal_name(*status.signal), text);
  if (status.code.value_or(0) == 0) return make_outcome(verdict::crashed, "no_result", text);
  return make_outcome(verdict::failed, fmt::format("{}", *status.code), text);
}

}  // namespace remora::agent

#include "run/budget.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/units.hpp>

namespace remora::run {
namespace json = boost::json;
namespace {

std::uint64_t tokens_of(const agent::usage& u) {
  return u.input_tokens + u.output_tokens;
}

/// Less than that is what is left of sums.
constexpr double least_usd = 1e-9;

double price_of(const agent::usage& u, const agent::prices& p) {
  const auto millions = [](std::uint64_t tokens) { return static_cast<double>(tokens) / 1e6; };
  return millions(u.input_tokens) * p.input + millions(u.output_tokens) * p.output +
         millions(u.cached_tokens) * p.cached;
}

}  // namespace

spending operator+(const spending& a, const spending& b) {
  return {a.turns + b.turns, a.tokens + b.tokens, a.cost_usd + b.cost_usd,
          a.estimated || b.estimated};
}

spending spent_by(const agent::state& mind, const plan& what, const task_plan& task) {
  const agent::usage all = mind.total_usage();
  spending sum{mind.turns(), tokens_of(all), all.cost_usd, false};
  const auto add_untold = [&](const agent::usage& used, const std::string& agent) {
    const auto known = what.agents.find(agent);
    if (known == what.agents.end() || !known->second.prices) return;
    const double untold = price_of(used, *known->second.prices) - used.cost_usd;
    if (untold < least_usd) return;
    sum.cost_usd += untold;
    sum.estimated = true;
  };
  agent::usage earlier = all;  // of attempts that the mind no longer lists
  for (const agent::attempt_record& a : mind.attempts()) {
    add_untold(a.used, a.agent);
    earlier.input_tokens -= a.used.input_tokens;
    earlier.output_tokens -= a.used.output_tokens;
    earlier.cached_tokens -= a.used.cached_tokens;
    earlier.cost_usd -= a.used.cost_usd;
  }
  add_untold(earlier, task.agents.front());
  return sum;
}

spending spent_by(const task_fold& task) {
  spending sum{0, tokens_of(task.used), task.used.cost_usd, task.used.estimated};
  const json::value* used = task.ended.if_contains("usage");
  if (!used || !used->is_object()) return sum;
  const json::object& u = used->get_object();
  sum.tokens = std::max(sum.tokens, json_integer<std::uint64_t>(u, "input_tokens") +
                                        json_integer<std::uint64_t>(u, "output_tokens"));
  sum.cost_usd = std::max(sum.cost_usd, json_number(u, "cost_usd"));
  sum.estimated = sum.estimated || json_flag(u, "estimated");
  return sum;
}

std::optional<supervise::over_budget> exceeded(const budget& most, const spending& so_far,
                                               bool next_turn, const run_id& run,
                                               std::string_view keys) {
  const auto over = [&](std::string detail, std::string_view key, const std::string& used) {
    return supervise::over_budget{
        std::move(detail), fmt::format("{}: 'remora resume {} --set {}.{}=…' goes on with more",
                                       used, run.str(), keys, key)};
  };
  if (most.turns > 0 && so_far.turns + (next_turn ? 1 : 0) > most.turns)
    return over("turns", "turns", fmt::format("{} of {} turns are used", so_far.turns, most.turns));
  if (most.tokens > 0 && so_far.tokens >= most.tokens)
    return over("tokens", "tokens",
                fmt::format("{} of {} tokens are used", format_count(so_far.tokens),
                            format_count(most.tokens)));
  if (most.cost_usd > 0 && so_far.cost_usd > most.cost_usd - least_usd)
    return over("cost", "cost_usd",
                fmt::format("${:.2f} of ${:.2f} are spent{}", so_far.cost_usd, most.cost_usd,
                            so_far.estimated ? " (estimated from the tokens)" : ""));
  return std::nullopt;
}

}  // namespace remora::run

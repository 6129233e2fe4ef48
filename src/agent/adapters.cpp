#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <boost/json/serialize.hpp>

#include "builtin.hpp"

namespace remora::agent {

std::span<const adapter* const> adapters() {
  static const std::array<const adapter*, 4> all = {&claude(), &jsonl(), &qwen(), &text()};
  return all;
}

result<const adapter*> find_adapter(std::string_view name) {
  std::vector<std::string_view> names;
  for (const adapter* a : adapters()) {
    if (a->name() == name) return a;
    names.push_back(a->name());
  }
  return fail(errc::usage,
              fmt::format("there is no adapter '{}'; there are {}", name, fmt::join(names, ", ")));
}

launch start_of(const adapter& a, const agent_config& config) {
  launch l;
  l.argv = config.command;
  if (l.argv.empty() && !a.default_command().empty()) l.argv.emplace_back(a.default_command());
  return l;
}

launch prompt_on_stdin(const adapter& a, const agent_config& config, const launch_request& r) {
  launch l = start_of(a, config);
  append(l.argv, config.args);
  append(l.pass_env, config.pass_env);
  l.stdin_bytes = r.prompt;
  return l;
}

void append(std::vector<std::string>& to, const std::vector<std::string>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

std::string user_line(boost::json::value content) {
  const boost::json::object line = {
      {"type", "user"},
      {"message", {{"role", "user"}, {"content", std::move(content)}}},
      {"parent_tool_use_id", nullptr},
      {"session_id", ""}};
  return boost::json::serialize(line) + "\n";
}

}  // namespace remora::agent

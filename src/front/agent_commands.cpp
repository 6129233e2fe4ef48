#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <istream>
#include <ostream>
#include <remora/agent/parse.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <remora/run/engine.hpp>
#include <remora/run/environment.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

agent::launch sample_launch(const agent::adapter& a) {
  agent::agent_config config;
  config.name = config.adapter = std::string(a.name());
  if (a.default_command().empty()) config.command = {"PROGRAM"};
  agent::launch_request request;
  request.prompt = "…";
  return a.plan_launch(config, request);
}

std::string environment_text(const agent::launch& l) {
  std::string text;
  for (const auto& [name, value] : l.environment) text += fmt::format(" {}={}", name, value);
  for (const std::string& name : l.pass_env) text += " " + name;
  return text;
}

constexpr std::string_view first_plan =
    R"(# What remora is to do here. Check it with: remora run --dry-run
version: 1
agents:
  coder:
    adapter: {}
    permissions: full        # or: default
tasks:
  - id: first
    prompt: |
      Say here what is to be done, as you would tell a colleague who has not seen this repository.
    # verify: make test      # success is what this says
)";

}  // namespace

result<int> agents_command(session& s) {
  const std::vector<std::string> base = run::passed_to_all(), set = run::set_for_all();
  for (const agent::adapter* a : agent::adapters()) {
    const agent::launch l = sample_launch(*a);
    const std::string program(a->default_command());
    const auto found =
        program.empty() ? std::filesystem::path() : run::find_program(program, s.directory);
    if (s.json) {
      json::array names(l.pass_env.begin(), l.pass_env.end());
      json::object environment;
      for (const auto& [name, value] : l.environment) environment[name] = value;
      s.out << json::object{{"schema", "remora.agent/1"},
                            {"adapter", a->name()},
                            {"program", program},
                            {"path", found.string()},
                            {"argv", json::array(l.argv.begin(), l.argv.end())},
                            {"environment", std::move(environment)},
                            {"pass_env", std::move(names)},
                            {"base_env", json::array(base.begin(), base.end())},
                            {"set_env", json::array(set.begin(), set.end())},
                            {"native_sessions", a->resumes_sessions()}}
            << '\n';
      continue;
    }
    const std::string where = program.empty() ? "any program; the plan names it"
                              : found.empty() ? program + ": not found in PATH"
                                              : found.string();
    s.out << fmt::format("{}  {}\n    started as: {}\n", pad(a->name(), 8), where,
                         fmt::join(l.argv, " "));
    if (const std::string environment = environment_text(l); !environment.empty())
      s.out << "    environment:" << environment << '\n';
  }
  if (!s.json)
    s.out << fmt::format("each of them also gets: {}\n    and from remora: {}\n",
                         fmt::join(base, " "), fmt::join(set, " "));
  return 0;
}

result<int> agents_parse_command(session& s, const parse_options& o) {
  REMORA_TRY(const agent::adapter* adapter, agent::find_adapter(o.adapter));
  exit_status status = exit_status::exited(o.exit_code);
  if (!o.signal.empty()) {
    REMORA_TRY(const int signal, parse_signal(o.signal));
    status = exit_status::killed(signal);
  }
  std::ifstream file, errors;
  if (!o.file.empty() && o.file != "-") {
    file.open(o.file, std::ios::binary);
    if (!file) return fail(errc::usage, fmt::format("cannot read {}", o.file));
  }
  if (!o.stderr_file.empty()) {
    errors.open(o.stderr_file, std::ios::binary);
    if (!errors) return fail(errc::usage, fmt::format("cannot read {}", o.stderr_file));
  }
  REMORA_CHECK(agent::parse_stream(*adapter, file.is_open() ? file : s.in,
                                   errors.is_open() ? &errors : nullptr, status, s.out));
  return 0;
}

result<int> init_command(session& s) {
  const std::filesystem::path file = s.directory / "remora.yaml";
  std::string_view adapter = "claude";
  for (const agent::adapter* a : agent::adapters()) {
    if (a->default_command().empty() ||
        run::find_program(std::string(a->default_command()), s.directory).empty())
      continue;
    adapter = a->name();
    break;
  }
  auto fd = open_file(file, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!fd && fd.error().is_errno(EEXIST))
    return fail(errc::usage,
                fmt::format("{} is there already; it was left as it is", file.string()));
  if (!fd) return fd.error();
  REMORA_CHECK(write_all(fd->get(), fmt::format(fmt::runtime(first_plan), adapter)));
  s.out << fmt::format("wrote {}; say in it what is to be done, then: remora run\n", file.string());
  return 0;
}

}  // namespace remora::front

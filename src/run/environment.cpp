#include <unistd.h>

#include <algorithm>
#include <array>
#include <remora/run/environment.hpp>

namespace remora::run {
namespace {

constexpr std::array base_list{
    "PATH", "HOME", "USER",  "LOGNAME", "SHELL",   "LANG",       "LC_*",
    "TZ",   "TERM", "XDG_*", "*_PROXY", "*_proxy", "SSL_CERT_*", "NODE_EXTRA_CA_CERTS"};

constexpr std::array own_list{
    "TMPDIR",       "REMORA_RUN",    "REMORA_TASK",   "REMORA_ATTEMPT",      "REMORA_CHECKPOINT",
    "REMORA_NOTES", "REMORA_RESULT", "REMORA_SOCKET", "GIT_TERMINAL_PROMPT", "GIT_CONFIG_*"};

/// The last two: libgit2 reads neither a split nor a sparse index (G20).
constexpr std::array<std::pair<const char*, const char*>, 5> git_settings{
    {{"gc.auto", "0"},
     {"maintenance.auto", "false"},
     {"core.fsync", "all"},
     {"core.splitIndex", "false"},
     {"index.sparse", "false"}}};

}  // namespace

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  if (pattern.starts_with('*')) return name.ends_with(pattern.substr(1));
  return name == pattern;
}

namespace {

template <class LetsThrough>
environment variables_that(LetsThrough lets_through, char** from) {
  environment env;
  for (char** variable = from ? from : environ; *variable; ++variable) {
    const std::string_view text = *variable;
    const std::size_t equals = text.find('=');
    if (equals == text.npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (lets_through(name)) set(env, name, text.substr(equals + 1));
  }
  return env;
}

bool matches_one_of(std::string_view name, const auto& patterns) {
  return std::ranges::any_of(patterns, [&](std::string_view one) { return matches(name, one); });
}

}  // namespace

environment pass(const std::vector<std::string>& extra, char** from) {
  return variables_that(
      [&](std::string_view name) {
        return matches_one_of(name, base_list) || matches_one_of(name, extra);
      },
      from);
}

std::vector<std::string> passed_to_all() {
  return {base_list.begin(), base_list.end()};
}

std::vector<std::string> set_for_all() {
  return {own_list.begin(), own_list.end()};
}

environment variables(const std::vector<std::string>& patterns, char** from) {
  return variables_that([&](std::string_view name) { return matches_one_of(name, patterns); },
                        from);
}

void set(environment& env, std::string_view name, std::string_view value) {
  const auto found = std::ranges::find(env, name, &environment::value_type::first);
  if (found != env.end())
    found->second = value;
  else
    env.emplace_back(name, value);
}

void add_git_settings(environment& env) {
  set(env, "GIT_TERMINAL_PROMPT", "0");
  set(env, "GIT_CONFIG_COUNT", std::to_string(git_settings.size()));
  for (std::size_t i = 0; i < git_settings.size(); ++i) {
    set(env, "GIT_CONFIG_KEY_" + std::to_string(i), git_settings[i].first);
    set(env, "GIT_CONFIG_VALUE_" + std::to_string(i), git_settings[i].second);
  }
}

}  // namespace remora::run

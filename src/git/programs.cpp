#include <fmt/format.h>

#include <remora/core/text.hpp>
#include <remora/git/command.hpp>
#include <remora/git/programs.hpp>

namespace remora::git {
namespace {

constexpr std::chrono::minutes patience{1};
constexpr const char* keys =
    R"(^(filter\..*\.(clean|smudge|process|required)|remote\..*\.(uploadpack|vcs))$)";

bool is_filter(std::string_view key) {
  return key.starts_with("filter.");
}

}  // namespace

result<program_settings> configured_programs(const repository& repo) {
  REMORA_TRY(const command_output said, run_git(repo.common_dir(),
                                                {"--git-dir", repo.common_dir().string(), "config",
                                                 "--null", "--get-regexp", keys},
                                                patience));
  constexpr int none = 1;  // git-config(1)
  if (!said.status.success() && said.status != exit_status::exited(none))
    return fail(errc::repository, "git cannot read its configuration: " + said.why());
  return program_settings_of(said.out);
}

/// Of a filter's setting the last one counts, and an empty one is none; of a remote's the first.
result<program_settings> instead_of_untrusted(const program_settings& trusted,
                                              const program_settings& now) {
  program_settings instead;
  for (const auto& [key, value] : trusted)
    if (const auto is = now.find(key); is == now.end() || is->second != value) instead[key] = value;
  for (const auto& [key, value] : now)
    if (!trusted.contains(key)) instead[key] = key.ends_with(".required") ? "false" : "";
  for (const auto& [key, value] : instead)
    if (!is_filter(key))
      return fail(errc::repository,
                  fmt::format("{} of git's configuration names another program than when the run "
                              "began: look who did that, and set it right",
                              printable(key)));
  return instead;
}

std::string to_text(const program_settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings) text += fmt::format("{}\n{}", key, value) + '\0';
  return text;
}

program_settings program_settings_of(std::string_view text) {
  program_settings settings;
  for (const std::string_view one : split(text, '\0')) {
    if (one.empty()) continue;
    const std::size_t end = std::min(one.find('\n'), one.size());
    settings[std::string(one.substr(0, end))] = one.substr(std::min(end + 1, one.size()));
  }
  return settings;
}

}  // namespace remora::git

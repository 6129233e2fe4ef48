// Programs that git starts because a configuration says so, where nothing else can keep it from
// that: filters at a checkout, and what it fetches with into a partial clone (C1). Hooks, fsmonitor
// and the like are off for every git of ours (command.hpp).
#pragma once

#include <map>
#include <remora/git/repository.hpp>
#include <string>
#include <string_view>

namespace remora::git {

/// Key, as `git config` prints it, and value.
using program_settings = std::map<std::string, std::string>;

/// As the next git of ours would read them, with what the configuration includes. Costs a process.
/// Errors: errc::repository (git cannot read its configuration), those of `run_git`.
result<program_settings> configured_programs(const repository& repo);

/// What a git is told in place of what the configuration says `now`, so that it starts none but the
/// `trusted`. Errors: errc::repository, naming a setting that git would heed all the same.
result<program_settings> instead_of_untrusted(const program_settings& trusted,
                                              const program_settings& now);

/// As bytes, and back.
std::string to_text(const program_settings& settings);
program_settings program_settings_of(std::string_view text);

}  // namespace remora::git
